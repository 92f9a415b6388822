FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG VERSION=dev
ARG TARGETOS
ARG TARGETARCH
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /beeline ./cmd/beeline

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /beeline /beeline
EXPOSE 8080 9090
# It asks the address of BEELINE_ADMIN_LISTEN, so it follows that setting.
HEALTHCHECK --interval=5s --timeout=4s --start-period=10s --retries=3 CMD ["/beeline", "health"]
ENTRYPOINT ["/beeline"]
CMD ["serve"]
