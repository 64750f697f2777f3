#!/usr/bin/env Rscript
# Residual structures by nlme.
#
#   Rscript make_structures.R [NAME ...]     refit the cases st_*.json and compare: nlme's objective now minus the
#                                            stored one of nlme, and minus that of the dense optimum
#   Rscript make_structures.R --more FILE    write the models below (Toeplitz, products) to FILE: more.json
#
# Needs nlme and jsonlite.

suppressPackageStartupMessages({
  library(nlme)
  library(jsonlite)
})
here <- dirname(normalizePath(sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE)[1])))

# text columns are factors, levels sorted by byte
read_table <- function(name) {
  path <- file.path(here, "..", "data", paste0(name, ".csv"))
  dtype <- fromJSON(sub("csv$", "meta.json", path))$dtype
  d <- read.csv(path, colClasses = ifelse(unlist(dtype) == "str", "character", "numeric"), na.strings = "NA")
  for (column in names(dtype)[dtype == "str"])
    d[[column]] <- factor(d[[column]], levels = sort(unique(d[[column]]), method = "radix"))
  d
}

structure_of <- function(kind, form, nugget) {
  if (is.null(kind)) return(NULL)
  arguments <- list(form = as.formula(form))
  if (nugget) arguments <- c(arguments, list(nugget = TRUE))
  do.call(kind, arguments)
}

refit <- function(case) {
  call <- case$nlme_call
  control <- list(maxIter = 500, msMaxIter = 500, msTol = 1e-12, tolerance = 1e-10, opt = "nlminb")
  arguments <- list(as.formula(case$formula), data = read_table(case$data), method = if (case$REML) "REML" else "ML",
                    correlation = structure_of(call$correlation, call$correlation_form, grepl("expnug", case$name)),
                    weights = structure_of(call$weights, call$weights_form, FALSE))
  if (is.null(call$random))
    return(do.call(gls, c(arguments, list(control = do.call(glsControl, control)))))
  random <- if (startsWith(call$random, "~")) as.formula(call$random) else list(Mare = pdDiag(~s1))
  do.call(lme, c(arguments, list(random = random, control = do.call(lmeControl, control))))
}

# ---- structures that nlme has under other names, and products ----

# An autoregression of order T - 1 has any correlations over T occasions; a moving average of order one is one band.
more <- list(
  toeplitz = list(data = "Orthodont", formula = distance ~ age * Sex,
                  correlation = quote(corARMA(form = ~1 | Subject, p = 3))),
  band = list(data = "Dialyzer", formula = rate ~ QB * (pressure + p2 + p3 + p4),
              correlation = quote(corARMA(form = ~index | Subject, q = 1))),
  ar1_varident = list(data = "Ovary", formula = follicles ~ s1 + c1, correlation = quote(corAR1(form = ~ord | Mare)),
                      weights = quote(varIdent(form = ~1 | Mare))),
  cs_varpower = list(data = "Dialyzer", formula = rate ~ QB * (pressure + p2 + p3 + p4),
                     correlation = quote(corCompSymm(form = ~1 | Subject)),
                     weights = quote(varPower(form = ~pressure))),
  exp_varident_varpower = list(data = "Dialyzer", formula = rate ~ QB * (pressure + p2 + p3 + p4),
                               correlation = quote(corExp(form = ~index | Subject)),
                               weights = quote(varComb(varIdent(form = ~1 | QB), varPower(form = ~pressure))))
)

write_more <- function(path) {
  out <- list()
  for (name in names(more)) for (method in c("ML", "REML")) {
    m <- more[[name]]
    control <- glsControl(maxIter = 500, msMaxIter = 500, msTol = 1e-13, tolerance = 1e-11)
    fit <- gls(m$formula, read_table(m$data), eval(m$correlation), eval(m$weights), method = method, control = control)
    correlations <- corMatrix(fit$modelStruct$corStruct)
    longest <- correlations[[which.max(sapply(correlations, nrow))]]
    out[[paste(name, tolower(method), sep = "_")]] <- list(
      data = m$data, formula = paste(deparse(m$formula), collapse = ""), REML = method == "REML",
      correlation = paste(deparse(m$correlation), collapse = ""),
      weights = if (!is.null(m$weights)) paste(deparse(m$weights), collapse = ""),
      objective = -2 * as.numeric(logLik(fit)), sigma = fit$sigma, beta = unname(coef(fit)),
      correlations_first_row = unname(longest[1, ])
    )
  }
  out$versions <- list(R = as.character(getRversion()), nlme = as.character(packageVersion("nlme")))
  write(toJSON(out, digits = NA, auto_unbox = TRUE, null = "null", pretty = TRUE), path)
}

chosen <- commandArgs(trailingOnly = TRUE)
if (length(chosen) == 2 && chosen[1] == "--more") {
  write_more(chosen[2])
  quit()
}
if (!length(chosen)) chosen <- sub(".json$", "", list.files(here, "^st_.*json$"))
for (name in chosen) {
  case <- fromJSON(file.path(here, paste0(name, ".json")))
  objective <- -2 * as.numeric(logLik(refit(case)))
  cat(sprintf("%-38s %12.6f  nlme %9.1e  dense %9.1e\n", name, objective, objective - case$nlme$objective,
              objective - case$dense$objective))
}
