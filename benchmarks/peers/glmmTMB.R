# glmmTMB with its defaults.

suppressPackageStartupMessages(library(glmmTMB))
source(file.path(dirname(sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE)[1])), "serve.R"))

cpu <- NA

fit <- function(model, data, reml) {
  began <- proc.time()
  fitted <- suppressMessages(suppressWarnings(glmmTMB(as.formula(model$formula), data = data, family = model$family)))
  cpu <<- sum((proc.time() - began)[1:2])
  fitted
}

describe <- function(fit) list(criterion = -2 * as.numeric(logLik(fit)), cpu = cpu, evaluations = fit$fit$evaluations[[1]])

serve("glmmTMB", fit, describe)
