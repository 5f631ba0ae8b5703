// Who hears a message, and in which order, on both sides (spec 4.2).
if (cluster.isPrimary) {
  const w = cluster.fork();
  w.process.on('message', (m, h) => trace('process', m, h)); w.on('message', (m, h) => trace('worker', m, h));
  cluster.on('message', (x, m, h) => { trace('cluster', x === w, m, h); });
  w.on('message', (m) => { if (m === 'answer') w.disconnect(); });
  trace('returns', w.send({ hello: [1, 'two', null, true] }));
} else {
  process.on('message', (m, h) => { trace('process', m, h); trace('returns', process.send('answer')); });
  cluster.worker.on('message', (m, h) => trace('worker', m, h));
}
