# Curves by level of mgcv: Rscript tests/reference/make_smooths_by_level.R > tests/reference/smooths_by_level.json
suppressMessages({library(mgcv); library(jsonlite)})
i <- 0:179
x <- (i * 7) %% 20 / 2
f <- factor(c("A", "B", "C")[i %% 3 + 1])
y <- sin(x) * (f == "A") + x * (f == "B") + 2 * cos(x / 2) * (f == "C") + 0.3 * sin(1000 * i)
d <- data.frame(x, f, y)
one <- function(common) {
  formula <- if (common) y ~ f + s(x, by = f, bs = "cr", k = 20, id = 1) else y ~ f + s(x, by = f, bs = "cr", k = 20)
  g <- gam(formula, method = "REML", data = d, control = gam.control(epsilon = 1e-13, newton = list(conv.tol = 1e-11)))
  new <- predict(g, data.frame(x = c(1, 12), f = c("A", "C")), se = TRUE)
  list(common = common, reml = unname(2 * g$gcv.ubre), sigma2 = g$sig2,
       edf = as.numeric(tapply(g$edf, rep(c("0", "A", "B", "C"), c(3, 19, 19, 19)), sum))[2:4],
       fitted = as.numeric(fitted(g)[1:6]), new = as.numeric(new$fit), se = as.numeric(new$se.fit))
}
cat(toJSON(list(mgcv = as.character(packageVersion("mgcv")), R = as.character(getRversion()),
                fits = lapply(c(FALSE, TRUE), one)), auto_unbox = TRUE, digits = 10, pretty = TRUE), "\n")
