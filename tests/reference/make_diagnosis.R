# Leverages, Cook's distances, residuals (lme4) and R squared, ICC (performance): writes diagnosis.json beside this
# script. Theta is that of the reference cases. Cook's distances of groups: lme4 fitted again at the same theta.
# Rscript tests/reference/make_diagnosis.R
suppressMessages({library(lme4); library(jsonlite); library(performance)})
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(FALSE), value = TRUE)))

cases <- list(
  list("sleepstudy_slope_reml", "Subject"), list("dyestuff_reml", "Batch"), list("penicillin_reml", c("plate", "sample")),
  list("pastes_nested_reml", c("batch", "sample")), list("sim_weights_ml", "grp"), list("orthodont_slope_reml", "Subject"),
  list("machines_nested_reml", "Worker"), list("sim_rankdef_reml", "grp"), list("dyestuff2_reml", "Batch")
)

read <- function(name) {
  at <- file.path(here, "data", name)
  path <- paste0(at, c(".csv", ".csv.gz")); path <- path[file.exists(path)][1]
  kinds <- unlist(fromJSON(paste0(at, ".meta.json"))$dtype)
  d <- read.csv(path, colClasses = ifelse(kinds == "str", "character", "numeric"))
  for (column in names(kinds)[kinds == "str"]) d[[column]] <- factor(d[[column]], sort(unique(d[[column]]), method = "radix"))
  d
}

at_theta <- function(formula, data, reml, theta, weights) {
  args <- list(formula = formula, data = data, REML = reml, control = lmerControl(
    check.rankX = "silent.drop.cols", check.nobs.vs.rankZ = "ignore", check.nobs.vs.nlev = "ignore",
    check.nobs.vs.nRE = "ignore", check.nlev.gtr.1 = "ignore"))
  if (!is.null(weights)) args$weights <- weights
  parts <- do.call(lFormula, args)
  objective <- do.call(mkLmerDevfun, parts)
  value <- objective(theta)
  mkMerMod(environment(objective), list(par = theta, fval = value, conv = 0), parts$reTrms, parts$fr)
}

groups <- function(full, by, formula, data, reml, theta, weights) {
  inverse <- solve(as.matrix(vcov(full)))
  sapply(levels(droplevels(data[[by]])), function(g) {
    keep <- data[[by]] != g
    part <- at_theta(formula, droplevels(data[keep, ]), reml, theta, if (is.null(weights)) NULL else weights[keep])
    if (!identical(names(fixef(part)), names(fixef(full)))) return(NA)
    shift <- fixef(full) - fixef(part)
    drop(shift %*% inverse %*% shift) / length(shift)
  })
}

one <- function(name, by) {
  path <- file.path(here, "cases", paste0(name, ".json"))
  case <- fromJSON(path, simplifyDataFrame = FALSE)
  data <- na.omit(read(sub("\\..*", "", basename(case$data))))
  formula <- as.formula(case$formula, globalenv())
  weights <- if (is.null(case$weights)) NULL else data[[case$weights]]
  fit <- at_theta(formula, data, case$REML, case$theta, weights)
  out <- list(
    theta = case$theta,
    hat = unname(hatvalues(fit)), cooks_distance = unname(cooks.distance(fit)),
    pearson = unname(residuals(fit, type = "pearson", scaled = TRUE)),
    by = setNames(lapply(by, function(g) as.list(groups(fit, g, formula, data, case$REML, case$theta, weights))), by)
  )
  if (is.null(weights) && !case$singular) {
    # performance wants a fit by lmer itself
    call <- lmer(formula, data, REML = case$REML, start = case$theta,
      control = lmerControl(optimizer = "nloptwrap", calc.derivs = FALSE, optCtrl = list(xtol_abs = 1e-12, ftol_abs = 1e-13)))
    r2 <- r2_nakagawa(call); share <- icc(call)
    out$r2 <- list(conditional = unname(r2$R2_conditional), marginal = unname(r2$R2_marginal))
    out$icc <- list(adjusted = share$ICC_adjusted, unadjusted = share$ICC_unadjusted)
  }
  out
}

found <- setNames(lapply(cases, function(case) one(case[[1]], case[[2]])), sapply(cases, `[[`, 1))
versions <- sapply(c("lme4", "performance", "insight"), function(p) as.character(packageVersion(p)))
found$made_with <- c(R = paste(R.version$major, R.version$minor, sep = "."), as.list(versions))
write(toJSON(found, auto_unbox = TRUE, digits = I(15), na = "null"), file.path(here, "diagnosis.json"))
