"""Three workers serve; together they allow four requests, whichever of them is asked."""

from demo import get, say
from rate_limiter import RateLimiterCluster, RateLimiterClusterMaster, Rejected

from nodecluster_compat import cluster, http

if cluster.is_primary:
    RateLimiterClusterMaster()
    listening = []

    @cluster.on("listening")
    def _(worker, address):
        listening.append(worker)
        if len(listening) == 3:
            ask(address.port, 6)

    cluster.on("exit", lambda worker, code: say("exit", code))
    for _ in range(3):
        cluster.fork()
else:
    limiter = RateLimiterCluster("pages", points=4, duration=60)

    def app(environ, start_response):
        try:
            state = limiter.consume("everybody")
        except Rejected as error:
            start_response("429 Too Many Requests", [])
            return [f"{error.args[0]['consumedPoints']} wanted".encode()]
        start_response("200 OK", [])
        return [f"{state['remainingPoints']} left".encode()]

    http.create_server(app).listen(0)


def ask(port, times):
    if not times:
        cluster.disconnect()
        return

    def answered(status, text):
        say(status, text)
        ask(port, times - 1)

    get(port, answered)
