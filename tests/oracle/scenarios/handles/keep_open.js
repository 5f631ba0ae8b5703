// keepOpen: both sides can write (spec 4.5).
if (cluster.isPrimary) {
  const w = cluster.fork(); let mine;
  const s = net.createServer((c) => { mine = c; w.send('shared', c, { keepOpen: true }); });
  w.on('message', () => { mine.end(' and primary'); });
  w.on('online', () => s.listen(0, '127.0.0.1', () => ask({ port: s.address().port, host: '127.0.0.1' }, (text) => { trace(text); s.close(); w.kill('SIGKILL'); })));
} else process.on('message', (m, c) => { c.write('worker', () => process.send('written')); });
