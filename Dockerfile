FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=""
RUN make build VERSION="$VERSION" && mkdir /data

# The binary is static and needs nothing but the certificates of authorities,
# for servers that are reached by TLS. Busybox is there for the health checks.
FROM busybox:1.37-musl
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /src/bin/daybook /usr/local/bin/daybook
# A volume that is mounted at /data gets this owner.
COPY --from=build --chown=65532:65532 /data /data
USER 65532:65532

# Inside a container 127.0.0.1 reaches nobody. On these addresses the roles want
# keys, or DAYBOOK_AUTH=none.
ENV DAYBOOK_DATA=/data \
    DAYBOOK_INGEST_ADDR=:3000 \
    DAYBOOK_REPORT_ADDR=:3001 \
    DAYBOOK_WORKER_ADDR=:3002
EXPOSE 3000 3001 3002

# This one is for serve and ingest; docker-compose.yml has those of the others.
# With DAYBOOK_TLS_CERT it fails for ever: replace it by one that asks https://
# and has --no-check-certificate, since the certificate is not for 127.0.0.1.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["wget", "-q", "-T", "4", "-O", "/dev/null", "http://127.0.0.1:3000/readyz"]

ENTRYPOINT ["daybook"]
CMD ["serve"]
