// exclusive: bound in the worker, unknown to the primary; the second worker gets EADDRINUSE (spec 3.4).
if (cluster.isPrimary) {
  watch('listening');
  const a = cluster.fork({ PORT: 0 });
  cluster.on('message', (w, m) => {
    trace(w.id, w.state, m[0], m[1]);
    if (w.id === 1) cluster.fork({ PORT: m[2] }); else for (const id in cluster.workers) cluster.workers[id].kill();
  });
} else {
  const s = net.createServer().on('error', (e) => process.send([e.code, e.syscall]));
  s.listen({ port: Number(process.env.PORT), host: '127.0.0.1', exclusive: true }, () => process.send(['listening', cluster.worker.state, s.address().port]));
}
