// reusePort binds in the worker and the primary hears of nothing; Node 20 ignores it (spec 3.4, 7).
if (cluster.isPrimary) { watch('listening'); const w = cluster.fork(); w.on('message', (m) => { trace(m); w.kill('SIGKILL'); }); }
else net.createServer().listen({ port: 0, host: '127.0.0.1', reusePort: true }, () => setTimeout(() => process.send(cluster.worker.state), 50));
