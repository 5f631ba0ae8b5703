// D7: a message that comes before the first listener is lost in Node; here it waits (spec 4.2).
if (cluster.isPrimary) {
  const w = cluster.fork(); w.send('early');
  w.on('message', (m) => { trace('got', m); if (m === 'now') w.send('late'); else w.disconnect(); });
} else setTimeout(() => { process.on('message', (m) => process.send(m)); process.send('now'); }, 300);
