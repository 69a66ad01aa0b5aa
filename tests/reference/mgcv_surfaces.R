# Fits of surfaces by mgcv, for tests/regression/test_mgcv.py. Run in this directory: Rscript mgcv_surfaces.R
library(mgcv)
library(splines)

set.seed(20060704)
n <- 240
x0 <- runif(n)
x1 <- 2 * runif(n)
y <- sin(5 * x0) * cos(2 * x1) + 0.15 * rnorm(n)
dy <- 5 * cos(5 * x0) * cos(2 * x1) + 0.45 * rnorm(n)  # the slope along x0, read at the same points
at <- expand.grid(x0 = seq(0.02, 0.98, length.out = 9), x1 = seq(0.05, 1.95, length.out = 8))

text <- function(frame) data.frame(lapply(frame, function(v) if (is.numeric(v)) sprintf("%.15g", v) else v))
control <- gam.control(epsilon = 1e-12, mgcv.tol = 1e-13, newton = list(conv.tol = 1e-8, maxNstep = 5, maxSstep = 2, maxHalf = 30, use.svd = FALSE))
fits <- list()
surfaces <- at
keep <- function(case, method, fit, lam, mean, se) {
  fits[[paste(case, method)]] <<- data.frame(case = case, method = method, lam0 = lam[1], lam1 = lam[length(lam)],
                                             edf = sum(fit$edf), scale = fit$sig2, criterion = unname(fit$gcv.ubre))
  surfaces[[paste("mean", case, method, sep = ".")]] <<- as.vector(mean)
  surfaces[[paste("se", case, method, sep = ".")]] <<- as.vector(se)
}

# te() on marginal P-splines: even knots beyond the domain, differences of order 2 along each variable.
even <- function(upper, k) seq(-3, k, length.out = k + 4) * upper / (k - 3)
knots <- list(x0 = even(1, 9), x1 = even(2, 7))
difference <- function(k) crossprod(diff(diag(k), differences = 2))
truth <- list(kronecker(difference(9), diag(7)), kronecker(diag(9), difference(7)))
for (method in c("REML", "ML", "GCV.Cp")) {
  fit <- gam(y ~ te(x0, x1, bs = "ps", k = c(9, 7), m = list(c(2, 2), c(2, 2)), np = FALSE), knots = knots, method = method,
             control = control)
  smooth <- fit$smooth[[1]]
  Z <- qr.Q(attr(smooth, "qrc"), complete = TRUE)[, -1]  # te() sums to zero over the data; its penalties are scaled
  lam <- sapply(1:2, function(j) fit$sp[j] * sum(diag(smooth$S[[j]])) / sum(diag(t(Z) %*% truth[[j]] %*% Z)))
  off <- max(sapply(1:2, function(j) max(abs(fit$sp[j] * smooth$S[[j]] - lam[j] * t(Z) %*% truth[[j]] %*% Z)) / max(abs(fit$sp[j] * smooth$S[[j]]))))
  stopifnot(off < 1e-10)
  p <- predict(fit, at, se.fit = TRUE)
  keep("te", method, fit, lam, p$fit, p$se.fit)
}

# Bases and penalties that are given: clamped cubic B-splines on 6 and 4 even pieces, integrals of squared partial derivatives.
clamped <- function(upper, pieces) c(rep(0, 3), seq(0, upper, length.out = pieces + 1), rep(upper, 3))
basis <- function(knots, x, deriv) splineDesign(knots, x, ord = 4, derivs = rep(deriv, length(x)), outer.ok = TRUE)
jacobi <- diag(0, 4)
for (i in 1:3) jacobi[i, i + 1] <- jacobi[i + 1, i] <- i / sqrt(4 * i^2 - 1)
gauss <- eigen(jacobi, symmetric = TRUE)
gram <- function(knots, deriv) {
  breaks <- unique(knots)
  total <- 0
  for (i in seq_len(length(breaks) - 1)) {
    half <- (breaks[i + 1] - breaks[i]) / 2
    rows <- basis(knots, breaks[i] + half * (1 + gauss$values), deriv)
    total <- total + t(rows) %*% (2 * gauss$vectors[1, ]^2 * half * rows)
  }
  total
}
k0 <- clamped(1, 6)
k1 <- clamped(2, 4)
rows <- function(x0, x1, d0, d1) {
  a <- basis(k0, x0, d0)
  b <- basis(k1, x1, d1)
  a[, rep(seq_len(ncol(a)), each = ncol(b))] * b[, rep(seq_len(ncol(b)), ncol(a))]
}
along <- list(kronecker(gram(k0, 2), gram(k1, 0)), kronecker(gram(k0, 0), gram(k1, 2)))
plate <- list(along[[1]] + 2 * kronecker(gram(k0, 1), gram(k1, 1)) + along[[2]])
design <- rbind(rows(x0, x1, 0, 0), rows(x0, x1, 1, 0))
readings <- c(y, dy)
precision <- rep(c(1, 1 / 9), each = n)
shown <- rows(at$x0, at$x1, 0, 0)
for (case in c("along", "plate")) for (method in c("REML", "ML", "GCV.Cp")) {
  fit <- gam(readings ~ design - 1, paraPen = list(design = get(case)), weights = precision, method = method, control = control)
  keep(case, method, fit, unname(fit$sp), shown %*% coef(fit), sqrt(rowSums((shown %*% fit$Vp) * shown)))
}
write.csv(data.frame(x0 = sprintf("%.17g", x0), x1 = sprintf("%.17g", x1), y = sprintf("%.17g", y), dy = sprintf("%.17g", dy)),
          "mgcv_surface_data.csv", row.names = FALSE, quote = FALSE)
write.csv(text(do.call(rbind, fits)), "mgcv_surface_fits.csv", row.names = FALSE, quote = FALSE)
write.csv(text(surfaces), "mgcv_surface_points.csv", row.names = FALSE, quote = FALSE)
