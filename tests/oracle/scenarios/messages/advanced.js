// serialization "advanced": a cycle, bytes, dates, sets, maps, big numbers, errors make the round trip (spec 4.4).
if (cluster.isPrimary) {
  cluster.setupPrimary({ serialization: 'advanced' });
  const loop = { name: 'loop' }; loop.me = loop;
  const w = cluster.fork();
  w.send({ loop, bytes: Buffer.from([0, 255]), date: new Date(0), set: new Set([1]), map: new Map([[1, 'one']]), big: 2n ** 80n, nan: NaN, error: new TypeError('bad') });
  w.on('message', (m) => {
    trace(m.loop.me === m.loop, m.bytes.length, m.bytes[1], m.date.getTime(), m.set.has(1), m.map.get(1), m.big === 2n ** 80n, m.nan !== m.nan, m.error instanceof TypeError, m.error.message);
    w.disconnect();
  });
  attempt('function', () => w.send(() => {}));
} else process.on('message', (m) => process.send(m));
