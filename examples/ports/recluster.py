"""recluster in Python: so many workers, each in a slot; one that fails is replaced, and a reload replaces all."""

import time

from pyee import EventEmitter

from nodecluster_compat import cluster


class Recluster(EventEmitter):
    """Emits ``ready``, ``online``, ``listening``, ``message``, ``disconnect`` and ``exit``, each with the worker first.

    Times are in seconds: ``timeout`` of an old worker, ``respawn`` between two starts, ``backoff`` as its upper bound.
    """

    def __init__(self, file, workers, timeout=1, respawn=1, backoff=None, ready_when="listening", args=(), log=print):
        super().__init__()
        self.file = file
        self.count = workers
        self.timeout = timeout
        self.ready_event = {"started": "online", "listening": "listening"}.get(ready_when, "message")
        self.args = list(args)
        self.log = log
        self.workers = []
        self.active = {}
        self.channel = EventEmitter()
        self.backoff = Backoff(respawn, backoff)
        self.respawners = set()

    def tell(self, event, *args):
        self.emit(event, *args)
        self.channel.emit(event, *args)

    def fork(self, slot):
        worker = cluster.fork({"WORKER_ID": slot})
        worker.slot = slot
        worker.is_replaced = False
        worker.on("message", lambda message: self.tell("message", worker, message))

        def gone():
            if worker in self.workers:
                self.workers.remove(worker)
            self.deactivate(worker)

        worker.process.on("exit", gone)
        self.workers.append(worker)

    def deactivate(self, worker):
        if self.active.get(worker.slot) is worker:
            self.active[worker.slot] = None

    def replace(self, worker):
        """Start another worker in the slot of one that is of no more use."""
        if worker.is_replaced:
            return
        worker.is_replaced = True
        self.deactivate(worker)
        wait = self.backoff.next(time.time() * 1000)
        if self.log:
            self.log(
                f"[{worker.process.pid}] worker ({worker.slot}:{worker.id}) must be replaced, respawning in {wait}"
            )

        def respawn():
            self.respawners.discard(timer)
            self.fork(worker.slot)

        timer = cluster.set_timeout(respawn, wait)
        self.respawners.add(timer)

    def kill_in_time(self, worker):
        """Let a worker finish, and kill it if it takes too long."""
        if self.timeout > 0:
            timer = cluster.set_timeout(worker.kill, self.timeout * 1000)
            worker.once("exit", lambda: cluster.clear_timeout(timer))
            if worker.is_connected():
                worker.send({"cmd": "disconnect"})
                worker.disconnect()
        else:
            cluster.set_timeout(worker.kill, 0)
        self.deactivate(worker)

    def replace_and_kill(self, worker):
        self.replace(worker)
        self.kill_in_time(worker)

    def run(self):
        if not cluster.is_primary:
            return
        cluster.setup_primary(exec=self.file)
        cluster.settings["args"] = self.args
        for slot in range(self.count):
            self.fork(slot)

        cluster.on("exit", self.worker_exit)
        cluster.on("disconnect", self.worker_disconnect)
        cluster.on("listening", self.worker_listening)
        cluster.on("online", self.worker_online)

        def is_ready(worker, arg=None):
            if self.ready_event != "message" or (arg and arg.get("cmd") == "ready"):
                self.tell("ready", worker, arg)

        def asks_to_be_replaced(worker, message):
            if isinstance(message, dict) and message.get("cmd") == "disconnect":
                self.replace_and_kill(worker)

        self.channel.on(self.ready_event, is_ready)
        self.channel.on("exit", self.replace)
        self.channel.on("disconnect", self.replace_and_kill)
        self.channel.on("message", asks_to_be_replaced)
        self.channel.on("ready", lambda worker, arg: self.active.update({worker.slot: worker}))

    # Events of the cluster, told again.
    def worker_exit(self, worker):
        self.tell("exit", worker)

    def worker_disconnect(self, worker):
        self.tell("disconnect", worker)

    def worker_listening(self, worker, address):
        self.tell("listening", worker, address)

    def worker_online(self, worker):
        self.tell("online", worker)

    def cancel_respawns(self):
        for timer in self.respawners:
            cluster.clear_timeout(timer)
        self.respawners.clear()

    def when_all_ready(self, callback):
        left = self.count

        def ready(worker, arg):
            nonlocal left
            left -= 1
            if left == 0:
                self.channel.remove_listener("ready", ready)
                callback()

        self.channel.on("ready", ready)

    def reload(self, callback=None):
        """Start new workers; when all of them are ready, the old ones are to end."""
        self.cancel_respawns()

        def stop_old(worker):
            worker.is_replaced = True  # it has been replaced already
            self.kill_in_time(worker)

        for worker in list(self.workers):
            self.when_all_ready(lambda worker=worker: stop_old(worker))
        if callback:
            self.when_all_ready(callback)
        for slot in range(self.count):
            self.fork(slot)

    def terminate(self, callback=None):
        self.stop()

        def all_done():
            if not cluster.workers:
                cluster.off("exit", all_done)
                if callback:
                    callback()

        cluster.on("exit", all_done)
        for worker in list(self.workers):
            worker.kill("SIGKILL")
        all_done()

    def stop(self):
        cluster.off("exit", self.worker_exit)
        cluster.off("disconnect", self.worker_disconnect)
        cluster.off("listening", self.worker_listening)
        cluster.off("online", self.worker_online)
        self.cancel_respawns()
        self.channel.remove_all_listeners()


class Backoff:
    """How many milliseconds the next start has to wait."""

    def __init__(self, respawn, most):
        self.least = self.respawn = respawn
        self.most = most
        self.last = time.time() * 1000
        self.timer = None

    def next(self, now):
        if self.most:
            self.respawn = min(self.respawn, self.most)
        following = max(now, self.last + self.respawn * 1000)
        self.last = following
        if self.most:
            self.respawn *= 2
            self.calm_down_later()
        return following - now

    def calm_down_later(self):
        cluster.clear_timeout(self.timer)
        self.timer = cluster.set_timeout(self.calm_down, self.most * 1000)

    def calm_down(self):
        self.timer = None
        self.respawn = max(self.least, self.respawn / 2)
        if self.respawn > self.least:
            self.calm_down_later()
