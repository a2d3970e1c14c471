# What runs in place of images that no registry can be asked for: the same servers from Debian's packages, each with
# what its image is documented to have: users, folders, variables, entrypoint. The base is a debootstrap of bookworm.

FROM darkroom-standin-debian AS python
RUN apt-get update -q=2 \
    && DEBIAN_FRONTEND=noninteractive apt-get install -q=2 --yes --no-install-recommends python3 python3-venv libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && ln -s /usr/bin/python3 /usr/local/bin/python
# After the packages, one of which writes this machine's bundle anew.
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY pip.conf /etc/pip.conf

FROM darkroom-standin-debian AS redis
RUN useradd --system --uid 999 --user-group --home-dir /data redis \
    && apt-get update -q=2 \
    && DEBIAN_FRONTEND=noninteractive apt-get install -q=2 --yes --no-install-recommends redis-server \
    && rm -rf /var/lib/apt/lists/* && install --directory --owner redis --group redis /data
WORKDIR /data
VOLUME /data
CMD ["redis-server"]

FROM darkroom-standin-debian AS postgres
RUN useradd --system --uid 999 --user-group --home-dir /var/lib/postgresql postgres \
    && apt-get update -q=2 \
    && DEBIAN_FRONTEND=noninteractive apt-get install -q=2 --yes --no-install-recommends postgresql-15 \
    && rm -rf /var/lib/apt/lists/* /var/lib/postgresql/* \
    && install --directory --owner postgres --group postgres --mode 1777 /var/lib/postgresql/data \
    && install --directory --owner postgres --group postgres --mode 3777 /var/run/postgresql
COPY --chmod=0755 postgres-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
ENV PATH=/usr/lib/postgresql/15/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin PGDATA=/var/lib/postgresql/data
VOLUME /var/lib/postgresql/data
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]

FROM darkroom-standin-debian AS prometheus
RUN apt-get update -q=2 \
    && DEBIAN_FRONTEND=noninteractive apt-get install -q=2 --yes --no-install-recommends prometheus wget \
    && rm -rf /var/lib/apt/lists/* && install --directory --owner 65534 --group 65534 /prometheus
WORKDIR /prometheus
VOLUME /prometheus
ENTRYPOINT ["prometheus"]

# No package has Grafana: this answers its health check and nothing else.
FROM darkroom-standin-debian AS grafana
RUN apt-get update -q=2 \
    && DEBIAN_FRONTEND=noninteractive apt-get install -q=2 --yes --no-install-recommends python3 wget \
    && rm -rf /var/lib/apt/lists/* && install --directory --owner 472 --group 472 /var/lib/grafana \
    && mkdir --parents /srv/api && echo '{"database": "ok"}' > /srv/api/health
VOLUME /var/lib/grafana
STOPSIGNAL SIGINT
CMD ["python3", "-m", "http.server", "3000", "--directory", "/srv"]

FROM darkroom-standin-debian AS seaweedfs
RUN apt-get update -q=2 \
    && DEBIAN_FRONTEND=noninteractive apt-get install -q=2 --yes --no-install-recommends wget \
    && rm -rf /var/lib/apt/lists/* && install --directory --owner 1000 --group 1000 /data
COPY --chmod=0755 weed /usr/local/bin/weed
VOLUME /data
ENTRYPOINT ["weed"]
