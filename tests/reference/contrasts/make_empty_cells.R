# Tests of terms of types I, II and III by lmerTest on designs with empty cells, aliased columns and columns of zeros.
#
#   Rscript make_empty_cells.R 130     makes empty_cells.json.gz again, in the working directory
#
# Made with R 4.2.2, lme4 1.1-31, lmerTest 3.1-3.

suppressPackageStartupMessages({ library(lmerTest); library(jsonlite) })
designs <- as.integer(commandArgs(TRUE)[1])

# Not a/b and a*b + a:c: lmerTest does not see there that a:b contains a, which is SAS's definition. Nor powers of years,
# whose estimates keep few digits in lme4.
formulas <- c("y ~ a*b", "y ~ a*b + x", "y ~ a*b*x", "y ~ a*b*c", "y ~ a*b + x + x2", "y ~ zero + a*b",
              "y ~ a*b + zero:a + x", "y ~ a:b", "y ~ 0 + a*b", "y ~ a + a:x + b:x", "y ~ x2*a*b + x", "y ~ a*b*c + x",
              "y ~ a*x + b*c", "y ~ nested + a + a:nested", "y ~ nested*b + a", "y ~ a*b*c - a:b:c",
              "y ~ x + zero + x2 + b")

one <- function(k) {
  set.seed(k)
  levels <- sample(2:4, 3, TRUE)
  cells <- expand.grid(a = letters[1:levels[1]], b = LETTERS[1:levels[2]], c = c("u", "v", "w", "z")[1:levels[3]],
                       stringsAsFactors = FALSE)
  margin <- unique(cells[c("a", "b")])
  gone <- margin[sample(nrow(margin), min(sample(1:3, 1), nrow(margin) - 2)), ]
  cells <- cells[!(paste(cells$a, cells$b) %in% paste(gone$a, gone$b)), ]
  if (k %% 3 == 0 && nrow(cells) > 6) cells <- cells[-sample(nrow(cells), 2), ]
  d <- cells[sample(nrow(cells), 50, TRUE), ]
  n <- nrow(d)
  d$g <- sprintf("g%d", sample(1:7, n, TRUE))
  d$nested <- paste0(d$a, sample(1:2, n, TRUE))
  d$x <- round(rnorm(n, 2), 2)
  d$x2 <- 2 * d$x
  d$zero <- 0
  d$y <- round(rnorm(7)[as.integer(factor(d$g))] + rnorm(n) + as.integer(factor(d$a)) * (d$b == "A") + 0.3 * d$x, 3)
  d[] <- lapply(d, function(v) if (is.character(v)) factor(v) else v)
  formula <- formulas[(k - 1) %% length(formulas) + 1]
  coded <- if (k %% 4 == 0) list(a = "contr.sum", b = "contr.helmert")
  if (!is.null(coded)) coded <- coded[names(coded) %in% all.vars(as.formula(formula))]
  tables <- try(suppressMessages(suppressWarnings({
    used <<- d
    m <- lmer(as.formula(paste(formula, "+ (1 | g)")), used, contrasts = coded,
              control = lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-9)))
    theta <- getME(m, "theta")
    if (theta < 1e-3) stop("singular")
    Filter(Negate(is.null), lapply(1:3, function(type) {
      t <- try(as.data.frame(anova(m, type = type)), silent = TRUE)  # lmerTest's type II stops at a dropped term
      if (inherits(t, "try-error")) return(NULL)
      t <- t[!is.na(t[["F value"]]), ]
      list(type = type, terms = I(rownames(t)), num_df = I(t$NumDF), den_df = I(t$DenDF), F = I(t[["F value"]]))
    }))
  })), silent = TRUE)
  if (inherits(tables, "try-error")) { message(k, " ", formula, ": ", tables); return(NULL) }
  d$x2 <- d$zero <- NULL
  list(data = d, result = list(design = k, formula = formula, coded = coded, theta = unname(theta), tables = tables))
}

all <- Filter(Negate(is.null), lapply(seq_len(designs), one))
all <- lapply(all, function(one) c(one$result, list(data = one$data)))
to <- gzfile("empty_cells.json.gz", "w")
writeLines(toJSON(all, digits = NA, auto_unbox = TRUE, dataframe = "columns", factor = "string"), to)
close(to)
message(length(all), " designs")
