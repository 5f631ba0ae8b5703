// The callback hears when a message is written, and why it is not (spec 4.1).
if (cluster.isPrimary) {
  const w = cluster.fork(); let sync = true;
  trace('returns', w.send('x', (e) => { trace('written', e, 'later', !sync); })); sync = false;
  w.on('message', () => w.disconnect());
  w.on('error', (e) => trace('error event', Boolean(e)));
  w.on('exit', () => {
    trace('returns', w.send('y', (e) => { trace('failed', Boolean(e)); }));
    trace('returns', w.send('z'));
  });
} else process.on('message', (m) => process.send(m));
