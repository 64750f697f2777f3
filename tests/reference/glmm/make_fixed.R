# Marginal means, their pairs and ratios by emmeans, and Wald tests with the hypotheses of lmerTest, all at the stored
# optima (beta and the covariance of the joint Hessian of cases/NAME.json): what is left is algebra.
#     Rscript make_fixed.R      writes fixed.json
suppressMessages({library(jsonlite); library(emmeans); library(lme4); library(lmerTest)})

asked <- list(
  cbpp_logit = list(list(factors = "period")),
  owls_pois = list(list(factors = "FoodTreatment"), list(factors = "FoodTreatment", by = "SexParent")),
  schizo = list(list(factors = "onset"), list(factors = "onset", at = list(month = 3))),
  toenail_int = list(list(factors = "treatment", at = list(month = 2))),
  resp_hsaur = list(list(factors = "treatment"), list(factors = "treatment", by = "centre")),
  arabidopsis = list(list(factors = "nutrient_hi", by = "amd"), list(factors = "status")),
  cbpp_probit = list(list(factors = "period")),
  cbpp_cloglog = list(list(factors = "period"))
)

read_case <- function(name) {
  case <- fromJSON(file.path("cases", paste0(name, ".json")), simplifyVector = TRUE)
  meta <- fromJSON(file.path("data", paste0(case$data, ".meta.json")))
  data <- read.csv(gzfile(file.path("data", paste0(case$data, ".csv.gz"))), na.strings = "NA",
                   colClasses = sapply(meta$dtype, function(kind) if (kind == "str") "character" else "numeric"),
                   check.names = FALSE)
  for (column in names(data)) if (is.character(data[[column]]))
    data[[column]] <- factor(data[[column]], levels = sort(unique(na.omit(data[[column]])), method = "radix"))
  list(case = case, data = data)
}

numbers <- function(table, columns) lapply(as.list(as.data.frame(table)[columns]), function(x) as.numeric(x))

of_case <- function(name) {
  read <- read_case(name); case <- read$case; data <- read$data
  fixed <- nobars(formula(case$formula))
  terms <- delete.response(terms(fixed))
  data <- data[complete.cases(data[intersect(all.vars(formula(case$formula)), names(data))]), ]
  beta <- setNames(case$laplace$beta, case$beta_names); V <- case$laplace$vcov_hessian
  grid_of <- function(at) {
    grid <- qdrg(formula = formula(terms), data = data, coef = beta, vcov = V, df = Inf, at = at)
    if (!is.null(attr(terms, "offset"))) {
      offset <- mean(eval(attr(terms, "variables")[[attr(terms, "offset") + 1]], data))
      if (!".offset." %in% names(grid@grid)) grid@grid$.offset. <- offset
    }
    update(grid, tran = case$link)
  }
  found <- lapply(asked[[name]], function(one) {
    means <- emmeans(grid_of(one$at), one$factors, by = one$by)
    link_table <- confint(means, type = "link"); response <- confint(means, type = "response")
    limits <- function(table) names(table)[grepl("LCL|UCL", names(table))]
    value <- function(table, k) setNames(as.data.frame(table)[c(names(table)[k], "SE", limits(table))], c("mean", "se", "lower", "upper"))
    first <- length(one$factors) + length(one$by) + 1
    tables <- lapply(c("tukey", "bonferroni", "none"), function(adjust) {
      pair <- pairs(means, adjust = adjust)
      a <- as.data.frame(summary(pair, type = "link")); b <- as.data.frame(confint(pair, type = "link", adjust = adjust))
      list(adjust = adjust, estimate = a$estimate, se = a$SE, z = a$z.ratio, p = a$p.value, lower = b[[limits(b)[1]]],
           upper = b[[limits(b)[2]]])
    })
    ratio <- as.data.frame(summary(pairs(means, adjust = "tukey"), type = "response", infer = c(TRUE, TRUE)))
    kind <- intersect(c("odds.ratio", "ratio", "estimate"), names(ratio))[1]
    list(factors = one$factors, by = one$by, at = one$at, labels = lapply(as.data.frame(means)[1:(first - 1)], as.character),
         link = as.list(value(link_table, first)), response = as.list(value(response, first)), pairs = tables,
         ratio = list(kind = kind, value = ratio[[kind]], se = ratio$SE, lower = ratio$asymp.LCL, upper = ratio$asymp.UCL))
  })
  set.seed(1)
  data$.y <- rnorm(nrow(data))
  linear <- suppressWarnings(suppressMessages(lmer(update(formula(case$formula), .y ~ .), data,
    control = lmerControl(check.conv.grad = "ignore", check.conv.singular = "ignore", check.nobs.vs.nlev = "ignore",
                          check.nobs.vs.nRE = "ignore", calc.derivs = FALSE))))
  linear <- as_lmerModLmerTest(linear)
  wald <- lapply(1:3, function(type) {
    Ls <- get(paste0("get_contrasts_type", type), asNamespace("lmerTest"))(linear)
    rows <- lapply(Ls, function(L) {
      L <- as.matrix(L); if (ncol(L) != length(beta)) L <- t(L)
      d <- L %*% beta
      q <- qr(L)$rank
      chisq <- as.numeric(t(d) %*% solve(L %*% V %*% t(L), d))
      c(chisq, q, pchisq(chisq, q, lower.tail = FALSE))
    })
    list(type = type, terms = names(Ls), chisq = sapply(rows, `[`, 1), df = sapply(rows, `[`, 2), p = sapply(rows, `[`, 3))
  })
  list(means = found, wald = wald)
}

values <- sapply(names(asked), of_case, simplify = FALSE)
# the offset of emmeans' own grid for a fit of glmer
owls <- read_case("owls_pois")
grid <- ref_grid(glmer(formula(owls$case$formula), owls$data, family = poisson, nAGQ = 0))
values$owls_offset <- unique(grid@grid$.offset.)
values$versions <- list(R = R.version.string, emmeans = as.character(packageVersion("emmeans")),
                        lmerTest = as.character(packageVersion("lmerTest")))
write_json(values, "fixed.json", digits = NA, auto_unbox = TRUE)
