# Generalised least squares with correlated errors by nlme, for tests/regression/test_nlme.py.
# Run in this directory: Rscript nlme.R
library(nlme)
library(splines)

set.seed(20110102)
n <- 160
x <- sort(runif(n, 0, 10))
noise <- function(rho) {
  e <- rnorm(1)
  for (i in 2:n) e[i] <- rho[i - 1] * e[i - 1] + sqrt(1 - rho[i - 1]^2) * rnorm(1)
  0.4 * e
}
data <- data.frame(x = x, ar1 = sin(x) + noise(rep(0.6, n - 1)), ou = sin(x) + noise(exp(-diff(x) / 0.15)))

# Cubic B-splines on 7 even pieces of [0, 10].
knots <- c(rep(0, 3), seq(0, 10, length.out = 8), rep(10, 3))
design <- splineDesign(knots, x, ord = 4)
control <- glsControl(tolerance = 1e-12, msTol = 1e-12, maxIter = 500, msMaxIter = 500)

fits <- list()
for (method in c("REML", "ML")) {
  for (kind in c("ar1", "ou")) {
    correlation <- if (kind == "ar1") corAR1(0.3, form = ~1) else corCAR1(0.3, form = ~x)
    data$y <- data[[kind]]
    fit <- gls(y ~ design - 1, data = data, correlation = correlation, method = method, control = control)
    phi <- as.vector(coef(fit$modelStruct$corStruct, unconstrained = FALSE))
    row <- data.frame(method = method, kind = kind, parameter = if (kind == "ar1") phi else -1 / log(phi), sigma = fit$sigma,
                      llf = as.numeric(logLik(fit)))
    row[paste0("b", seq_along(coef(fit)) - 1)] <- coef(fit)
    row[paste0("se", seq_along(coef(fit)) - 1)] <- sqrt(diag(vcov(fit)))
    fits <- rbind(fits, row)
  }
}
data$y <- NULL
options(digits = 17)
write.csv(data, "nlme_data.csv", row.names = FALSE)
write.csv(fits, "nlme_fits.csv", row.names = FALSE)
