// A port that somebody else has: an error in every worker, and another try works once it is free (spec 3.3).
if (cluster.isPrimary) {
  let n = 0;
  const holder = net.createServer().listen(0, '127.0.0.1', () => { for (let i = 0; i < 3; i++) cluster.fork({ PORT: holder.address().port }); });
  cluster.on('message', (w, m) => { traceAs(`P${w.id}`, m); if (++n === 3) holder.close(() => cluster.workers[1].send('again')); });
  cluster.once('listening', (w) => { trace('listening', w.id); cluster.disconnect(); });
} else {
  const s = net.createServer().on('error', (e) => process.send(e.code)); const go = () => s.listen(Number(process.env.PORT), '127.0.0.1');
  process.on('message', go); go();
}
