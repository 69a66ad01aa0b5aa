# Structural models by StructTS, and by the filter of R from a start that leaves each state unknown,
# for tests/statespace/test_structural.py. Run in this directory: Rscript structts.R
missing <- Nile
missing[c(21:40, 61:80)] <- NA
cases <- list(
  nile = list(y = Nile, type = "level"),
  missing = list(y = missing, type = "level"),
  trend = list(y = Nile, type = "trend"),
  gas = list(y = log10(UKgas), type = "BSM"),
  air = list(y = log10(AirPassengers) - 2, type = "BSM")
)

# The log-likelihood of variances (states, then epsilon). KalmanLike gives (log s2 + mean log F) / 2 and s2 = mean v^2 / F.
loglik <- function(variances, model, y) {
  noisy <- seq_len(length(variances) - 1)
  diag(model$V)[noisy] <- variances[noisy]
  model$h <- variances[length(variances)]
  found <- KalmanLike(y, model, nit = -1L)
  -sum(!is.na(y)) / 2 * (2 * found$Lik - log(found$s2) + found$s2 + log(2 * pi))
}

rows <- lapply(names(cases), function(name) {
  y <- cases[[name]]$y
  fit <- suppressWarnings(StructTS(y, cases[[name]]$type, optim.control = list(factr = 10, pgtol = 0, maxit = 1000)))
  free <- fit$model0
  size <- ncol(free$T)
  free$P <- diag(1e5 * var(y, na.rm = TRUE), size)  # StructTS has this number in every element, off the diagonal too
  scale <- var(y, na.rm = TRUE) / 100
  value <- function(sd) -loglik(scale * sd^2, free, y)
  start <- sqrt(pmax(fit$coef / scale, 1e-2))
  rough <- nlm(value, start, gradtol = 1e-10, steptol = 1e-12, iterlim = 1000)$estimate
  for (i in 1:3) {  # differences of optim are central
    best <- optim(rough, value, method = "BFGS", control = list(reltol = 1e-16, maxit = 1000, ndeps = rep(1e-4, length(start))))
    rough <- best$par
  }
  estimates <- c(level = NA, slope = NA, seas = NA, epsilon = NA)
  full <- estimates
  estimates[names(fit$coef)] <- fit$coef
  full[names(fit$coef)] <- scale * best$par^2
  data.frame(
    case = name, start = c("StructTS", "unknown states"), rbind(estimates, full), P12 = if (size > 1) c(fit$model0$P[1, 2], 0) else NA,
    loglik = c(loglik(fit$coef, fit$model0, y), -best$value),
    loglik_other = c(loglik(scale * best$par^2, fit$model0, y), loglik(fit$coef, free, y)),  # of the other row's variances
    row.names = NULL
  )
})
table <- do.call(rbind, rows)
table[3:6] <- lapply(table[3:6], signif, 9)
write.csv(table, "structts.csv", row.names = FALSE)
