// What cannot be sent raises where it is sent, and nothing is sent (spec 4.1).
if (cluster.isPrimary) {
  const w = cluster.fork(); w.on('message', (m) => { trace('got', m); w.disconnect(); });
  attempt('nothing', () => w.send()); attempt('function', () => w.send(() => {}));
  const loop = {}; loop.me = loop; attempt('loop', () => w.send(loop));
  attempt('handle', () => w.send('x', { not: 'a handle' }));
  attempt('fine', () => w.send('fine'));
} else process.on('message', (m) => process.send(m));
