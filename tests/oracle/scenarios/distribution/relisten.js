// A worker that closes its server and listens again shares the port again (spec 3.2).
if (cluster.isPrimary) {
  watch('listening'); let n = 0;
  cluster.on('listening', (w) => { if (++n === 1) cluster.fork(); else if (n === 2) w.send('again'); else cluster.disconnect(); });
  cluster.fork();
} else {
  const s = net.createServer().listen(0, '127.0.0.1');
  process.on('message', () => s.close(() => s.listen(0, '127.0.0.1')));
}
