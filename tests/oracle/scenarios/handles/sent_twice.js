// The same socket twice: the second message comes without it; order holds around handles (spec 4.5).
if (cluster.isPrimary) {
  const w = cluster.fork();
  const s = net.createServer((c) => { w.send('before'); w.send('one', c); w.send('two', c); w.send('after'); });
  w.on('online', () => s.listen(0, '127.0.0.1', () => ask({ port: s.address().port, host: '127.0.0.1' }, (text) => { trace(text); s.close(); w.disconnect(); })));
} else { let kept; process.on('message', (m, c) => { trace(m, Boolean(c)); if (c) kept = c; if (m === 'after') kept.end('bye'); }); }
