# "DevServerClient", "os" and "Path" are the suite's own.
class _ClusterClient(DevServerClient):
    def __init__(self, cluster):
        self.cluster = cluster
        self.scheme = "http"
        self.addr = f"{cluster.host}:{cluster.port}"
        self.url = cluster.url

    def read_log(self):
        return self.cluster.log


@pytest.fixture
def dev_server(cluster_factory):
    folder = os.fspath(Path(__file__).parent / "live_apps")

    def start(name="standard", threaded=True):
        return _ClusterClient(cluster_factory(app=f"{name}_app:app", settings={"pythonpath": folder}))

    return start
