# What lme4 does with degenerate input: writes degenerate.json beside this script.
# Rscript tests/reference/make_degenerate.R
suppressMessages({library(lme4); library(jsonlite)})
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(FALSE), value = TRUE)))

# name, table, formula; `set`: rows (empty: all) of a column that are given a value; weights: a column
case <- function(name, data, formula, set = NULL, weights = NULL)
  list(name = name, data = data, formula = formula, set = set, weights = weights)
set <- function(column, value, rows = integer(0)) list(column = column, value = value, rows = I(rows))

cases <- list(
  case("groups_of_one", "sim_allsingle", "y ~ x + (1|grp)"),
  case("one_level", "sim_allsingle", "y ~ x + (1|one)"),
  case("saturated", "sim_allsingle", "y ~ x + (x|pair)"),
  case("saturated_uncorrelated", "sim_allsingle", "y ~ x + (x||pair)"),
  case("no_bars", "sim_allsingle", "y ~ x"),
  case("unknown_variable", "sim_allsingle", "y ~ zz + (1|pair)"),
  case("unknown_group", "sim_allsingle", "y ~ x + (1|zz)"),
  case("rank_deficient", "sim_rankdef", "y ~ x + x2 + f + h + (1|grp)"),
  case("missing", "sim_missing", "y ~ x + f + (1|grp)"),
  case("large_covariate", "sim_badscale", "y ~ days + (days|grp)"),
  case("huge_covariate", "sim_badscale", "y ~ days_micro + (days_micro|grp)"),
  case("large_offset", "sim_bigoffset", "ybig9 ~ x + (1|grp)"),
  case("small_ratio", "sim_ratio", "ytiny ~ 1 + (1|grp)"),
  case("large_ratio", "sim_ratio", "yhuge ~ 1 + (1|grp)"),
  case("negative_weight", "sim_weights", "y ~ x + (1|grp)", set("w", -1, 1), "w"),
  case("zero_weight", "sim_weights", "y ~ x + (1|grp)", set("w", 0, 1), "w"),
  case("missing_weight", "sim_weights", "y ~ x + (1|grp)", set("w", NA, 1), "w"),
  case("infinite_response", "sim_weights", "y ~ x + (1|grp)", set("y", "Inf", 1)),
  case("infinite_covariate", "sim_weights", "y ~ x + (1|grp)", set("x", "Inf", 1)),
  case("all_missing", "sim_weights", "y ~ x + (1|grp)", set("x", NA)),
  case("constant_response", "sim_weights", "y ~ x + (1|grp)", set("y", 1))
)

read <- function(name) {
  at <- file.path(here, "data", name)
  path <- paste0(at, c(".csv", ".csv.gz")); path <- path[file.exists(path)][1]
  kinds <- unlist(fromJSON(paste0(at, ".meta.json"))$dtype)
  d <- read.csv(path, colClasses = ifelse(kinds == "str", "character", "numeric"))
  d
}
fit <- function(case) {
  d <- read(case$data)
  if (!is.null(case$set)) {
    rows <- if (length(case$set$rows)) case$set$rows else seq_len(nrow(d))
    d[[case$set$column]][rows] <- if (identical(case$set$value, "Inf")) Inf else case$set$value
  }
  if (!is.null(case$weights)) d$.w <- d[[case$weights]]
  said <- character(0)
  heard <- function(c) {said <<- c(said, trimws(conditionMessage(c))); invokeRestart(if (inherits(c, "warning")) "muffleWarning" else "muffleMessage")}
  result <- tryCatch(withCallingHandlers({
    f <- as.formula(case$formula)
    m <- if (is.null(case$weights)) lmer(f, d) else lmer(f, d, weights = .w)
    list(criterion = unname(REMLcrit(m)), n = nobs(m))
  }, warning = heard, message = heard), error = function(e) list(error = trimws(conditionMessage(e))))
  c(case, result, list(said = I(said)))
}
made <- lapply(cases, fit)
names(made) <- vapply(cases, `[[`, "", "name")
versions <- list(R = as.character(getRversion()), lme4 = as.character(packageVersion("lme4")))
write(toJSON(list(versions = versions, cases = made), auto_unbox = TRUE, digits = I(17), na = "null", null = "null", pretty = TRUE),
      file.path(here, "degenerate.json"))
