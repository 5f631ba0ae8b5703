// D4: Node calls back when the first worker is gone, we after the last (spec 2.9).
if (cluster.isPrimary) {
  let ready = 0;
  for (const hold of [0, 300]) cluster.fork({ HOLD: hold });
  cluster.on('exit', (w) => trace('exit', w.id));
  cluster.on('message', () => { if (++ready === 2) cluster.disconnect(() => trace('callback', Object.keys(cluster.workers).length)); });
} else { setTimeout(() => {}, Number(process.env.HOLD) + 100); process.send('ready'); }
