#!/usr/bin/env Rscript
# Reference fits by lme4, with degrees of freedom by lmerTest and pbkrtest.
#
#   Rscript make_cases.R [NAME ...]              refit these cases (default: all but the large) and compare with cases/
#   Rscript make_cases.R --write DIR [NAME ...]  refit and write DIR/NAME.json
#   Rscript make_cases.R --data                  compare data/ with the tables of the R packages
#
# A fit is the best of three optimisers (the large cases: of BOBYQA), then Newton steps by fourth-order differences.
# Needs lme4, lmerTest, pbkrtest, minqa, jsonlite; for --data also nlme and mlmRev.

suppressPackageStartupMessages({
  library(lme4)
  library(jsonlite)
})
here <- dirname(normalizePath(sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE)[1])))

# ---- the cases: name without _reml/_ml, data, formula, methods, weights, offset ----

case <- function(stem, data, formula, methods = "reml ml", weights = NULL, offset = NULL)
  lapply(strsplit(methods, " ")[[1]], function(m)
    list(name = paste0(stem, "_", m), data = data, formula = formula, REML = m == "reml",
         weights = weights, offset = offset))

cases <- do.call(c, list(
  case("cake_int", "cake", "angle ~ recipe * temperature + (1|recipe:replicate)"),
  case("cake_inter_temp", "cake", "angle ~ recipe * temp + (1|replicate) + (1|recipe:replicate)", "reml"),
  case("cake_linear", "cake", "angle ~ recipe + temp + (1|replicate) + (1|recipe:replicate)"),
  case("chem97_fixed", "Chem97", "score ~ gcsecnt + gender + (1|lea/school)"),
  case("chem97_nested", "Chem97", "score ~ 1 + (1|lea/school)"),
  case("chem97_slope", "Chem97", "score ~ gcsecnt + gender + (1|lea) + (gcsecnt|school)", "reml"),
  case("dyestuff", "Dyestuff", "Yield ~ 1 + (1|Batch)"),
  case("dyestuff2", "Dyestuff2", "Yield ~ 1 + (1|Batch)"),
  case("insteval_2", "InstEval", "y ~ 1 + (1|s) + (1|d)"),
  case("insteval_3", "InstEval", "y ~ service + (1|s) + (1|d) + (1|dept:service)"),
  case("insteval_fixed", "InstEval", "y ~ service + studage + lectage + (1|s) + (1|d) + (1|dept)", "reml"),
  case("machines_3x3", "Machines", "score ~ Machine + (Machine|Worker)"),
  case("machines_cellmean3x3", "Machines", "score ~ Machine + (0+Machine|Worker)", "reml"),
  case("machines_nested", "Machines", "score ~ Machine + (1|Worker/Machine)"),
  case("oats_full", "Oats", "yield ~ factor(nitro)*Variety + (1|Block/Variety)", "reml"),
  case("oats_nitro", "Oats", "yield ~ nitro + (1|Block/Variety)"),
  case("orthodont_cslope", "Orthodont", "distance ~ c_age*Sex + (c_age|Subject)", "reml"),
  case("orthodont_int", "Orthodont", "distance ~ age*Sex + (1|Subject)"),
  case("orthodont_slope", "Orthodont", "distance ~ age*Sex + (age|Subject)"),
  case("ovary_diag", "Ovary", "follicles ~ s1 + c1 + (s1||Mare)", "reml"),
  case("ovary_int", "Ovary", "follicles ~ s1 + c1 + (1|Mare)"),
  case("oxboys_3x3", "Oxboys", "height ~ age + age2 + (age + age2|Subject)"),
  case("oxboys_q4", "Oxboys", "height ~ age + age2 + age3 + (age + age2 + age3|Subject)", "reml"),
  case("pastes_nested", "Pastes", "strength ~ 1 + (1|batch/cask)"),
  case("pastes_sample", "Pastes", "strength ~ 1 + (1|sample) + (1|batch)", "reml"),
  case("penicillin", "Penicillin", "diameter ~ 1 + (1|plate) + (1|sample)"),
  case("sim_badscale", "sim_badscale", "y ~ days + (days|grp)"),
  case("sim_badscale_micro", "sim_badscale", "y ~ days_micro + (1|grp)", "reml"),
  case("sim_bigoffset", "sim_bigoffset", "ybig ~ x + (1|grp)"),
  case("sim_bigoffset9", "sim_bigoffset", "ybig9 ~ x + (1|grp)", "reml"),
  case("sim_bigoffset_base", "sim_bigoffset", "y ~ x + (1|grp)", "reml"),
  case("sim_corr_pos1", "sim_corr_pos1", "y ~ x + (x|grp)"),
  case("sim_facslope", "sim_facslope", "y ~ f + x + (0+f|grp) + (0+x|grp)"),
  case("sim_inter", "sim_inter", "y ~ x + (1|a) + (1|b) + (1|a:b)"),
  case("sim_inter_slope", "sim_inter", "y ~ x + (x|a) + (1|b) + (1|a:b)", "reml"),
  case("sim_missing", "sim_missing", "y ~ x + f + (1|grp)"),
  case("sim_negicc", "sim_negicc", "y ~ trt + (1|blk)", "reml"),
  case("sim_noint", "sim_noint", "y ~ x + (0+x|grp)"),
  case("sim_offset", "sim_weights", "yoff ~ x + (1|grp)", "reml", offset = "off"),
  case("sim_q4", "sim_q4", "y ~ x1 + x2 + x3 + (x1 + x2 + x3|grp)"),
  case("sim_q4_mixed", "sim_q4", "y ~ x1 + x2 + x3 + (x1 + x2|grp) + (1|item)", "reml"),
  case("sim_rankdef", "sim_rankdef", "y ~ x + x2 + f + h + (1|grp)"),
  case("sim_rankdef_cells", "sim_rankdef", "y ~ f*h + x + (1|grp)", "reml"),
  case("sim_ratio_huge", "sim_ratio", "yhuge ~ 1 + (1|grp)"),
  case("sim_ratio_tiny", "sim_ratio", "ytiny ~ 1 + (1|grp)"),
  case("sim_singletons", "sim_singletons", "y ~ x + (1|grp)"),
  case("sim_singletons_slope", "sim_singletons", "y ~ x + (x|grp)", "reml"),
  case("sim_weights", "sim_weights", "y ~ x + (x|grp)", weights = "w"),
  case("sim_weights_int", "sim_weights", "y ~ x + (1|grp)", "reml", weights = "w"),
  case("sim_weights_offset", "sim_weights", "yoff ~ x + (x|grp)", weights = "w", offset = "off"),
  case("sleepstudy_diag", "sleepstudy", "Reaction ~ Days + (Days||Subject)"),
  case("sleepstudy_int", "sleepstudy", "Reaction ~ Days + (1|Subject)"),
  case("sleepstudy_noint", "sleepstudy", "Reaction ~ Days + (0+Days|Subject)"),
  case("sleepstudy_slope", "sleepstudy", "Reaction ~ Days + (Days|Subject)")
))
names(cases) <- vapply(cases, `[[`, "", "name")
large <- c("Chem97", "InstEval")

# ---- data: text columns are factors, levels sorted by byte ----

open_any <- function(path) if (file.exists(path)) path else gzfile(paste0(path, ".gz"))

read_table <- function(name) {
  dtype <- fromJSON(file.path(here, "data", paste0(name, ".meta.json")))$dtype
  d <- read.csv(open_any(file.path(here, "data", paste0(name, ".csv"))), na.strings = "NA",
                colClasses = ifelse(unlist(dtype) == "str", "character", "numeric"))
  for (column in names(d)) if (is.character(d[[column]])) d[[column]] <- sorted_factor(d[[column]])
  d
}

sorted_factor <- function(x) factor(x, levels = sort(unique(as.character(x)), method = "radix"))

# ---- the optimum ----

three_optimisers <- list(
  bobyqa = function(fn, par, lower)
    with(minqa::bobyqa(par, fn, lower, control = list(rhoend = 1e-8, maxfun = 1e5)), list(par = par, fval = fval)),
  nloptwrap = function(fn, par, lower)
    nloptwrap(par, fn, lower, rep(Inf, length(par)), control = list(xtol_abs = 1e-9, ftol_abs = 1e-11, maxeval = 1e5)),
  Nelder_Mead = function(fn, par, lower)
    Nelder_Mead(fn, par, lower, control = list(FtolAbs = 1e-10, maxfun = 1e5)))

gradient <- function(fn, x, free, step) vapply(free, function(j) {
  at <- function(m) fn(replace(x, j, x[j] + m * step[j]))
  (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * step[j])
}, 0)

hessian <- function(fn, x, free, step) {
  H <- vapply(free, function(j) {
    at <- function(m) gradient(fn, replace(x, j, x[j] + m * step[j]), free, step)
    (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * step[j])
  }, numeric(length(free)))
  H <- matrix(H, length(free))
  (H + t(H)) / 2
}

# Steps over which the objective rises by 1e-3: the thetas' own scales may lie orders of magnitude apart.
steps <- function(fn, x, free) {
  step <- 1e-3 * pmax(abs(x), 1e-3)
  for (j in free) for (pass in 1:6) {
    rise <- fn(replace(x, j, x[j] + step[j])) + fn(replace(x, j, x[j] - step[j])) - 2 * fn(x)
    step[j] <- step[j] * min(max(sqrt(1e-3 / max(rise, 1e-12)), 0.01), 100)
  }
  step
}

# An optimiser as lmer takes it; what it saw stays in attr(, "record").
polished <- function(large) {
  record <- new.env()
  f <- function(fn, par, lower, upper, control) {
    tried <- lapply(if (large) three_optimisers["bobyqa"] else three_optimisers, function(o) o(fn, par, lower))
    record$objectives <- lapply(tried, `[[`, "fval")
    record$best <- names(tried)[which.min(unlist(record$objectives))]
    x <- tried[[record$best]]$par
    bound <- is.finite(lower) & x - lower < 1e-5
    x[bound] <- lower[bound]
    free <- which(!bound)
    step <- steps(fn, x, free)
    for (pass in seq_len(3 * (length(free) > 0))) {
      g <- gradient(fn, x, free, step)
      move <- tryCatch(solve(hessian(fn, x, free, step), g), error = function(e) 0 * g)
      y <- replace(x, free, x[free] - move)
      if (any(y < lower) || max(abs(gradient(fn, y, free, step))) >= max(abs(g))) break
      x <- y
    }
    record$gradient <- gradient(fn, x, free, step)
    record$eigenvalues <- if (length(free)) eigen(hessian(fn, x, free, step), TRUE, TRUE)$values else numeric()
    list(par = x, fval = fn(x), conv = 0, message = "")
  }
  attr(f, "record") <- record
  f
}

# ---- one case ----

fit_case <- function(cs) {
  d <- read_table(cs$data)
  optimiser <- polished(cs$data %in% large)
  messages <- character()
  arguments <- list(formula = as.formula(cs$formula, env = environment()), data = quote(d), REML = cs$REML)
  if (!is.null(cs$weights)) arguments$weights <- as.name(cs$weights)
  if (!is.null(cs$offset)) arguments$offset <- as.name(cs$offset)
  control <- lmerControl(optimizer = optimiser, calc.derivs = FALSE, restart_edge = FALSE, boundary.tol = 0,
                         check.scaleX = "ignore")
  arguments$control <- quote(control)
  fit <- withCallingHandlers(eval(as.call(c(quote(lmer), arguments))), message = function(m) {
    messages <<- c(messages, conditionMessage(m))
    invokeRestart("muffleMessage")
  })
  record <- attr(optimiser, "record")
  V <- as.matrix(vcov(fit))
  dimnames(V) <- NULL
  theta <- unname(getME(fit, "theta"))
  lower <- getME(fit, "lower")
  y <- unname(getME(fit, "y"))
  residual <- y - unname(fitted(fit))
  devcomp <- getME(fit, "devcomp")$cmp
  out <- list(
    name = cs$name, data = cs$data, formula = cs$formula, REML = cs$REML, weights = cs$weights, offset = cs$offset,
    source = "lme4", n = nobs(fit), p = length(fixef(fit)), n_theta = length(theta), ngroups = as.list(ngrps(fit)),
    theta = I(theta), theta_names = I(names(getME(fit, "theta"))), lower = I(replace(lower, is.infinite(lower), NA)),
    singular = isSingular(fit, 1e-5), at_bound = I(is.finite(lower) & theta - lower < 1e-6), sigma = sigma(fit),
    varcorr = lapply(VarCorr(fit), function(v)
      list(names = I(rownames(v)), cov = unname(matrix(v, nrow(v))), sd = I(unname(attr(v, "stddev"))),
           corr = unname(attr(v, "correlation")))),
    beta_names = I(names(fixef(fit))), beta = I(unname(fixef(fit))),
    dropped_columns = I(as.character(names(attr(getME(fit, "X"), "col.dropped")))),
    vcov_beta = V, se = I(sqrt(diag(V))),
    objective = unname(if (cs$REML) REMLcrit(fit) else deviance(fit)), logLik = as.numeric(logLik(fit)),
    df = attr(logLik(fit), "df"), AIC = AIC(logLik(fit)), BIC = BIC(logLik(fit)),
    optimizer = list(best = record$best, objectives = record$objectives, gradient_theta_free = I(record$gradient),
                     hessian_eigenvalues_theta_free = I(record$eigenvalues)),
    ranef = random_effects(fit),
    fitted_head = head(unname(fitted(fit)), 10), resid_head = head(residual, 10), ss_fitted = sum(fitted(fit)^2),
    ss_resid = sum(residual^2), ss_resid_weighted = sum(weights(fit) * residual^2), ss_u = sum(getME(fit, "u")^2),
    ldL2 = unname(devcomp["ldL2"]), ldRX2 = unname(devcomp["ldRX2"]), pwrss = unname(devcomp["pwrss"]),
    messages = I(messages), predict = predictions(fit, d),
    versions = lapply(list(lme4 = "lme4", lmerTest = "lmerTest", pbkrtest = "pbkrtest"),
                      function(p) as.character(packageVersion(p))))
  if (!cs$data %in% large) out$satterthwaite <- satterthwaite(fit)
  if (cs$REML && is.null(cs$weights) && nobs(fit) <= 1300) out$kenward_roger <- kenward_roger(fit)
  if (cs$name %in% profiled) out$profile_confint <- profile_intervals(fit)
  out
}

# Several terms on one grouping factor: condVar is then a list named by term.
random_effects <- function(fit) lapply(ranef(fit, condVar = TRUE), function(r) {
  per_level <- function(a) if (dim(a)[1] == 1) as.numeric(a) else lapply(seq_len(dim(a)[3]), function(l) a[, , l])
  several <- is.list(attr(r, "postVar"))
  list(levels = I(rownames(r)), names = I(names(r)), values = unname(as.matrix(r)),
       condVar = if (several) lapply(attr(r, "postVar"), per_level) else per_level(attr(r, "postVar")),
       condVar_is_list_per_term = several)
})

predictions <- function(fit, d) {
  bars <- findbars(formula(fit))
  grouping <- unique(unlist(lapply(bars, function(b) all.vars(b[[3]]))))
  row <- which(complete.cases(d))[1]
  first <- d[row, ]
  fresh <- setdiff(grouping, all.vars(nobars(formula(fit))))
  unseen <- first
  for (g in fresh) unseen[[g]] <- factor("unseen level")
  list(row_used = row, conditional = unname(predict(fit, first)), population = unname(predict(fit, first, re.form = NA)),
       new_level = if (length(fresh)) unname(predict(fit, unseen, allow.new.levels = TRUE)) else NULL,
       new_level_factors = I(fresh))
}

satterthwaite <- function(fit) {
  lt <- suppressMessages(lmerTest::as_lmerModLmerTest(fit))
  table <- coef(summary(lt))
  type3 <- anova(lt, type = 3)
  list(df = I(unname(table[, "df"])), t = I(unname(table[, "t value"])), p = I(unname(table[, "Pr(>|t|)"])),
       vcov_varpar = unname(lt@vcov_varpar),  # of (theta, sigma): twice the inverse Hessian of the deviance
       anova_III = list(terms = I(rownames(type3)), NumDF = I(type3$NumDF), DenDF = I(type3$DenDF),
                        F = I(type3[["F value"]]), p = I(type3[["Pr(>F)"]])))
}

kenward_roger <- function(fit) {
  V <- pbkrtest::vcovAdj(fit)
  p <- nrow(V)
  df <- vapply(seq_len(p), function(j) pbkrtest::Lb_ddf(replace(numeric(p), j, 1), vcov(fit), V), 0)
  se <- sqrt(diag(as.matrix(V)))
  t <- unname(fixef(fit)) / se
  list(vcov_adj = unname(as.matrix(V)), se = I(unname(se)), df = I(df), t = I(unname(t)),
       p = I(unname(2 * pt(-abs(t), df))))
}

profiled <- c("cake_linear_reml", "dyestuff_reml", "machines_nested_reml", "oats_nitro_reml", "orthodont_int_reml",
              "pastes_nested_reml", "penicillin_reml", "sleepstudy_diag_reml", "sleepstudy_int_reml",
              "sleepstudy_slope_reml")

# Refitted by plain BOBYQA: the profile calls the fit's optimiser at every point.
profile_intervals <- function(fit) {
  plain <- update(fit, control = lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-8), calc.derivs = FALSE),
                  evaluate = FALSE)
  fit <- eval(plain, environment(formula(fit)))
  ci <- suppressWarnings(confint(fit, method = "profile", quiet = TRUE, oldNames = FALSE))
  list(names = I(rownames(ci)), lower = I(unname(ci[, 1])), upper = I(unname(ci[, 2])))
}

# y ~ t + (t | g) with t = 1e6 x has the fit of x: the slope's theta, beta and se by 1e-6, and |X'V^-1 X| by 1e12.
micro_slope <- function() {
  x <- fit_case(cases$sim_badscale_reml)
  unit <- 1e6
  list(name = "sim_badscale_microslope_reml", source = "derived from sim_badscale_reml", data = x$data,
       formula = "y ~ days_micro + (days_micro|grp)", REML = TRUE, n = x$n, p = x$p,
       theta = I(x$theta / c(1, unit, unit)), sigma = x$sigma, beta = I(x$beta / c(1, unit)),
       beta_names = I(c("(Intercept)", "days_micro")), se = I(x$se / c(1, unit)),
       objective = x$objective + 2 * log(unit), logLik = x$logLik - log(unit), weights = NULL, offset = NULL)
}

# ---- compare and write ----

make <- function(name) if (name == "sim_badscale_microslope_reml") micro_slope() else fit_case(cases[[name]])

as_json <- function(x) toJSON(x, auto_unbox = TRUE, digits = I(17), na = "null", null = "null", matrix = "rowmajor")

write_case <- function(x, path) {
  lines <- vapply(names(x), function(k) paste0(toJSON(k, auto_unbox = TRUE), ": ", as_json(x[[k]])), "")
  writeLines(paste0("{\n", paste(lines, collapse = ",\n"), "\n}"), path)
}

# What moves with rounding, or is a matter of version, is not compared.
not_compared <- c("name", "source", "optimizer", "messages", "versions", "notes")

difference <- function(made, stored) {
  numbers <- function(x) suppressWarnings(as.numeric(unlist(x)))
  a <- numbers(made)
  b <- numbers(stored)
  if (length(a) != length(b)) return(Inf)
  if (!length(a) || all(is.na(b))) return(0)
  max(abs(a - b), na.rm = TRUE) / max(abs(b), 1e-8, na.rm = TRUE)
}

compare <- function(name) {
  stored <- fromJSON(open_any(file.path(here, "cases", paste0(name, ".json"))), simplifyVector = TRUE)
  made <- fromJSON(as_json(make(name)), simplifyVector = TRUE)
  keys <- setdiff(intersect(names(made), names(stored)), not_compared)
  inner <- c("satterthwaite", "kenward_roger", "profile_confint", "predict")
  d <- vapply(setdiff(keys, inner), function(k) difference(made[[k]], stored[[k]]), 0)
  for (k in intersect(keys, inner)) for (i in intersect(names(made[[k]]), names(stored[[k]])))
    d[paste0(k, "$", i)] <- difference(made[[k]][[i]], stored[[k]][[i]])
  worst <- head(sort(d[d > 1e-7], decreasing = TRUE), 6)
  cat(sprintf("%-30s objective %+.1e  theta %.1e  beta %.1e  ranef %.1e%s\n", name, made$objective - stored$objective,
              d[["theta"]], d[["beta"]], if ("ranef" %in% names(d)) d[["ranef"]] else NA,
              if (length(worst)) paste0("   above 1e-7: ", paste(names(worst), sprintf("%.0e", worst), collapse = ", "))
              else ""))
}

# ---- the tables of the R packages ----

package_of <- c(sleepstudy = "lme4", Dyestuff = "lme4", Dyestuff2 = "lme4", Penicillin = "lme4", Pastes = "lme4",
                cake = "lme4", InstEval = "lme4", Orthodont = "nlme", Oats = "nlme", Machines = "nlme", Ovary = "nlme",
                Chem97 = "mlmRev", Oxboys = "mlmRev")

package_table <- function(name) {
  d <- as.data.frame(get(data(list = name, package = package_of[[name]], envir = environment())))
  if (name == "Orthodont") d$c_age <- d$age - 11
  if (name == "Oxboys") d <- transform(d, age2 = age^2, age3 = age^3)
  if (name == "Ovary")
    d <- transform(d, s1 = sin(2 * pi * Time), c1 = cos(2 * pi * Time), ord = ave(Time, Mare, FUN = seq_along))
  d
}

compare_table <- function(name) {
  shipped <- read_table(name)
  original <- package_table(name)
  equal <- vapply(names(shipped), function(k) {
    if (is.factor(shipped[[k]])) identical(as.character(shipped[[k]]), as.character(original[[k]]))
    else isTRUE(all.equal(shipped[[k]], as.numeric(original[[k]]), tolerance = 1e-15))
  }, NA)
  cat(sprintf("%-12s %6d rows, %d columns: %s\n", name, nrow(shipped), ncol(shipped),
              if (all(equal)) "equal" else paste("differ in", paste(names(shipped)[!equal], collapse = ", "))))
}

arguments <- commandArgs(trailingOnly = TRUE)
all_names <- c(names(cases), "sim_badscale_microslope_reml")
if (identical(arguments, "--data")) {
  for (name in names(package_of)) compare_table(name)
} else if (length(arguments) && arguments[1] == "--write") {
  wanted <- if (length(arguments) > 2) arguments[-(1:2)] else all_names
  for (name in wanted) write_case(make(name), file.path(arguments[2], paste0(name, ".json")))
} else {
  small <- Filter(function(n) is.null(cases[[n]]) || !cases[[n]]$data %in% large, all_names)
  for (name in if (length(arguments)) arguments else small) compare(name)
}
