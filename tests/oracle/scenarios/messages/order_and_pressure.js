// A stopped receiver: send() says false, nothing is lost, order is kept (spec 4.1).
const COUNT = 200;
if (cluster.isPrimary) {
  const w = cluster.fork(); let got = 0, sorted = true, full = false, called = 0;
  w.once('message', () => {
    w.process.kill('SIGSTOP');
    for (let i = 0; i < COUNT; i++) if (!w.send({ i, pad: 'x'.repeat(16384) }, () => called++)) full = true;
    w.on('message', (m) => { sorted = sorted && m === got; if (++got === COUNT) { trace('full', full, 'all', got, 'sorted', sorted, 'called', called === COUNT); w.disconnect(); } });
    w.process.kill('SIGCONT');
  });
} else { process.on('message', (m) => process.send(m.i)); process.send('ready'); }
