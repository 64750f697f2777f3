# docker build -t mme .
# docker run --rm mme demo
# docker run --rm -v "$PWD:/data" mme fit "y ~ x + (x | g)" table.csv
FROM python:3.13-slim-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev libsuitesparse-dev libopenblas-dev
COPY . /src
# A wheel of scikit-sparse for the SuiteSparse of this system, wheels as they are of everything else.
RUN pip wheel --prefer-binary -w /wheels "/src[cholmod,plot,parquet]"

FROM python:3.13-slim-bookworm
RUN apt-get update \
    && apt-get install -y --no-install-recommends libcholmod3 libopenblas0-pthread \
    && rm -rf /var/lib/apt/lists/*
RUN --mount=from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links /wheels "mme[cholmod,plot,parquet]"
RUN useradd --create-home mme && mkdir /data && chown mme /data
USER mme
WORKDIR /data
ENTRYPOINT ["mme"]
CMD ["demo"]
