# Reference values of spline bases from the R package splines2.
#
#   Rscript splines2.R [directory]
#
# writes splines2_<family>.csv and splines2_knots.csv into the directory
# (by default the current one).  The script draws no random numbers: the same
# versions of R and splines2 write the same bytes, up to the last digits of
# another machine's arithmetic.  What the columns mean, and which values of
# splines2 are left out and why, stands in splines2.md.

suppressPackageStartupMessages(library(splines2))
out <- commandArgs(trailingOnly = TRUE)
out <- if (length(out)) out[1] else "."
options(splines2.warn.outside = FALSE)  # read by splines2 >= 0.5

digits <- function(v) {
  # 17 significant digits, fewer where fewer give the same double; no "-0".
  v <- v + 0
  short <- sprintf("%.15g", v)
  long <- sprintf("%.17g", v)
  text <- ifelse(as.numeric(short) == v, short, long)
  ifelse(v == 0, "0", text)
}

numbers <- function(text) {
  if (text == "") NULL else as.numeric(strsplit(text, " ")[[1]])
}

# Each case: interior knots, boundary, points inside.  To the points inside
# are added both boundaries, every interior knot and, where a family can be
# evaluated there, points outside.
inside <- c(0.0625, 0.21875, 0.375, 0.53125, 0.8125, 0.96875)
cases <- list(
  three    = list(knots = "0.3 0.5 0.6", lower = 0, upper = 1, x = inside),
  one      = list(knots = "0.4", lower = 0, upper = 1, x = inside),
  none     = list(knots = "", lower = 0, upper = 1, x = inside),
  repeated = list(knots = "0.3 0.5 0.5 0.6", lower = 0, upper = 1, x = inside),
  triple   = list(knots = "0.25 0.25 0.25 0.75", lower = 0, upper = 1,
                  x = inside),
  uneven   = list(knots = "0.001 0.01 0.5 0.9", lower = 0, upper = 1,
                  x = c(0.0005, 0.00390625, 0.0625, 0.375, 0.53125, 0.96875)),
  two      = list(knots = "-0.7 3.1", lower = -2, upper = 5.5,
                  x = c(-1.75, -0.9375, 0.625, 2.75, 3.5, 5.25)),
  shifted  = list(knots = "-0.7 1.1 3.1 4.5", lower = -2, upper = 5.5,
                  x = c(-1.75, -0.9375, 0.625, 2.75, 3.5, 5.25))
)

points_of <- function(case, beyond = c(-0.25, -0.03125, 1.0625, 1.5)) {
  with(case, sort(unique(c(lower, upper, numbers(knots), x,
                           lower + (upper - lower) * beyond))))
}

rows <- function(family, name, degree, deriv, x, value) {
  case <- cases[[name]]
  stopifnot(nrow(value) == length(x), all(is.finite(value)))
  j <- rep(seq_len(ncol(value)) - 1L, each = length(x))
  sprintf("%s,%s,%d,%s,%s,%s,%d,%s,%d,%s", family, name, degree, case$knots,
          digits(case$lower), digits(case$upper), deriv,
          digits(rep(x, ncol(value))), j, digits(as.vector(value)))
}

# evaluate(x, case, degree, deriv, intercept) gives the matrix of a family;
# deriv = -1 asks for the integral from the left boundary.
table_of <- function(family, evaluate, plan, derivs = -1:4,
                     beyond = c(-0.25, -0.03125, 1.0625, 1.5)) {
  lines <- character()
  for (name in names(plan)) for (degree in plan[[name]]) {
    case <- cases[[name]]
    x <- points_of(case, beyond)
    for (deriv in derivs) {
      value <- suppressWarnings(evaluate(x, case, degree, deriv, TRUE))
      # In every family intercept = FALSE leaves out the first column.  Scaled
      # C-splines stop there with an error for deriv > 0 in splines2 0.4.7.
      if (ncol(value) > 1 && !(family == "cSpline" && deriv > 0)) {
        less <- suppressWarnings(evaluate(x, case, degree, deriv, FALSE))
        stopifnot(identical(as.vector(less[, ]), as.vector(value[, -1])))
      }
      lines <- c(lines, rows(family, name, degree, deriv, x, value))
    }
  }
  lines
}

header <- c(
  sprintf("# %s, splines2 %s; written by splines2.R, see splines2.md",
          R.version.string, packageVersion("splines2")))

save <- function(file, columns, lines) {
  con <- file(file.path(out, file), "wb")
  writeLines(c(header, columns, lines), con, sep = "\n")
  close(con)
}

columns <- "family,case,degree,knots,lower,upper,deriv,x,j,value"

plain <- function(basis, ..., has_integral = TRUE) {
  function(x, case, degree, deriv, intercept) {
    arguments <- list(x, knots = numbers(case$knots), degree = degree,
                      intercept = intercept,
                      Boundary.knots = c(case$lower, case$upper),
                      derivs = max(deriv, 0L), ...)
    if (has_integral) arguments$integral <- deriv < 0
    do.call(basis, arguments)
  }
}

save("splines2_bSpline.csv", columns, table_of("bSpline", plain(bSpline), list(
  three = 0:5, one = c(1L, 3L), none = c(0L, 2L, 3L), repeated = c(2L, 3L),
  triple = 3L, uneven = c(3L, 5L), shifted = c(0L, 3L))))

save("splines2_mSpline.csv", columns, table_of("mSpline", plain(mSpline), list(
  three = c(0L, 1L, 2L, 3L, 5L), one = 3L, none = 3L, repeated = 3L,
  uneven = 3L, shifted = 3L)))

# Periodic M-splines need at least degree - 1 interior knots, all distinct.
save("splines2_mSpline_periodic.csv", columns, table_of(
  "mSpline_periodic", plain(mSpline, periodic = TRUE), list(
    three = 0:4, one = 1:2, none = 1L, two = 3L, uneven = c(3L, 5L),
    shifted = c(2L, 3L)),
  beyond = c(-1.25, -0.03125, 1.0625, 2.5)))

save("splines2_iSpline.csv", columns, table_of(
  "iSpline", plain(iSpline, has_integral = FALSE), list(
    three = c(0L, 1L, 2L, 3L, 5L), none = 2L, repeated = 3L, uneven = 3L,
    shifted = 3L), derivs = 0:4))

save("splines2_cSpline.csv", columns, c(
  table_of("cSpline", plain(cSpline, has_integral = FALSE), list(
    three = c(0L, 1L, 2L, 3L, 5L), none = 2L, repeated = 3L, uneven = 3L,
    shifted = 3L), derivs = 0:4),
  table_of("cSpline_unscaled",
           plain(cSpline, scale = FALSE, has_integral = FALSE),
           list(three = 0:3, shifted = 3L), derivs = 0:4)))

# Natural splines need distinct interior knots.  The case of one knot is
# kept to a boundary of width one: see splines2.md.
natural <- function(x, case, degree, deriv, intercept) {
  naturalSpline(x, knots = numbers(case$knots), intercept = intercept,
                Boundary.knots = c(case$lower, case$upper),
                derivs = max(deriv, 0L), integral = deriv < 0)
}
save("splines2_naturalSpline.csv", columns, table_of(
  "naturalSpline", natural, list(three = 3L, one = 3L, none = 3L, uneven = 3L,
                                 two = 3L, shifted = 3L)))

# Bernstein polynomials take no point outside and no knots: the boundary of
# the cases "none" and "two" serves, the knots of the latter as points.
bernstein <- function(x, case, degree, deriv, intercept) {
  bernsteinPoly(x, degree = degree, intercept = intercept,
                Boundary.knots = c(case$lower, case$upper),
                derivs = max(deriv, 0L), integral = deriv < 0)
}
polynomials <- table_of("bernsteinPoly", bernstein,
                        list(none = 0:5, two = c(1L, 3L)), beyond = numeric())
polynomials <- sub(",-0.7 3.1,", ",,", polynomials, fixed = TRUE)
save("splines2_bernsteinPoly.csv", columns, polynomials)

# Interior knots chosen from x by df.
data_sets <- list(
  skewed = (0:22)^2 / 16,
  ties   = c(0, 0.5, 0.5, 0.5, 1, 1, 1.25, 2, 2, 3.5, 3.5, 3.5, 3.75, 5, 6.25))
lines <- character()
for (set in names(data_sets)) {
  x <- data_sets[[set]]
  # The range of x, and a boundary that leaves some x outside.
  for (boundary in list(range(x), c(1, 5))) {
    for (basis in c("bSpline", "mSpline", "iSpline", "cSpline",
                    "naturalSpline", "mSpline_periodic")) {
      for (degree in if (basis == "naturalSpline") 3L else c(0L, 2L, 3L)) {
        for (intercept in c(FALSE, TRUE)) for (extra in c(0L, 1L, 2L, 4L)) {
          arguments <- list(x, intercept = intercept, Boundary.knots = boundary)
          least <- if (basis == "naturalSpline") 1L
                   else if (basis == "mSpline_periodic") max(degree - 1L, 0L)
                   else degree
          arguments$df <- least + intercept + extra
          if (arguments$df < 1L) next
          if (basis != "naturalSpline") arguments$degree <- degree
          if (basis == "mSpline_periodic") arguments$periodic <- TRUE
          made <- tryCatch(
            suppressWarnings(do.call(sub("_periodic", "", basis), arguments)),
            error = function(e) NULL)
          # splines2 refuses some choices, such as equal knots where a family
          # needs distinct ones.
          if (is.null(made)) next
          knots <- as.numeric(attr(made, "knots"))
          lines <- c(lines, sprintf(
            "%s,%s,%s,%s,%d,%d,%d,%d,%s", basis, set, digits(boundary[1]),
            digits(boundary[2]), degree, intercept, arguments$df, ncol(made),
            paste(digits(knots), collapse = " ")))
        }
      }
    }
  }
}
save("splines2_knots.csv",
     "family,data,lower,upper,degree,intercept,df,columns,knots", lines)
