// A primary with a server of its own forks in callbacks: setup, fork, and only then what the worker says.
if (cluster.isPrimary) {
  watch();
  cluster.on('setup', () => trace('setup'));
  net.createServer().listen(0, '127.0.0.1', function () {
    for (let i = 0; i < 3; i++) cluster.fork();
    later(0.05, () => { cluster.fork(); this.close(() => trace('closed')); });
  });
} else cluster.worker.disconnect();
