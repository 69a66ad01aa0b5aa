# Fits of one smooth by mgcv on a basis and a penalty that are given to it, for tests/regression/test_mgcv.py.
# Run in this directory: Rscript mgcv.R
library(mgcv)
library(splines)

set.seed(20110101)
n <- 150
x <- sort(runif(n))
y <- sin(6 * x) + 0.3 * cos(25 * x) * x + 0.15 * rnorm(n)

# Cubic B-splines on 20 even pieces of [0, 1], and the matrix of int f'' g'' by Gauss-Legendre nodes (two a piece are exact).
breaks <- seq(0, 1, length.out = 21)
knots <- c(rep(0, 3), breaks, rep(1, 3))
basis <- function(at, deriv = 0) splineDesign(knots, at, ord = 4, derivs = rep(deriv, length(at)), outer.ok = TRUE)
middle <- (breaks[-1] + breaks[-21]) / 2
half <- 0.025
nodes <- c(middle - half / sqrt(3), middle + half / sqrt(3))
second <- basis(nodes, 2)
penalty <- half * t(second) %*% second
design <- basis(x)

at <- seq(0.005, 0.995, length.out = 45)
fits <- list()
curves <- data.frame(x = at)
for (method in c("REML", "ML", "GCV.Cp")) {
  fit <- gam(y ~ design - 1, paraPen = list(design = list(penalty)), method = method,
             control = gam.control(epsilon = 1e-12, newton = list(conv.tol = 1e-8, maxNstep = 5, maxSstep = 2, maxHalf = 30, use.svd = FALSE)))
  mean <- as.vector(basis(at) %*% coef(fit))
  se <- sqrt(rowSums((basis(at) %*% fit$Vp) * basis(at)))
  curves[[paste0("mean.", method)]] <- mean
  curves[[paste0("se.", method)]] <- se
  fits[[method]] <- data.frame(method = method, lam = unname(fit$sp), edf = sum(fit$edf), scale = fit$sig2, criterion = unname(fit$gcv.ubre))
}
write.csv(data.frame(x = sprintf("%.17g", x), y = sprintf("%.17g", y)), "mgcv_data.csv", row.names = FALSE, quote = FALSE)
write.csv(do.call(rbind, lapply(fits, function(f) data.frame(method = f$method, lapply(f[-1], function(v) sprintf("%.15g", v))))),
          "mgcv_fits.csv", row.names = FALSE, quote = FALSE)
write.csv(data.frame(lapply(curves, function(v) sprintf("%.15g", v))), "mgcv_curves.csv", row.names = FALSE, quote = FALSE)
