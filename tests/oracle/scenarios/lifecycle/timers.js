// Timers in both roles: order, arguments, intervals, clearing, refreshing; one that is let go of holds nobody.
const run = (done) => {
  setTimeout(trace, 200, 'second');
  setTimeout(trace, 5, 'first', 'with', 'arguments');
  clearTimeout(setTimeout(trace, 10, 'never'));
  clearTimeout(undefined);
  setTimeout(trace, 60000, 'never').unref();
  setInterval(trace, 60000, 'never').unref();
  const held = setTimeout(trace, 300, 'held').unref();
  trace(held.hasRef(), held.ref().hasRef());
  const refreshed = setTimeout(() => { trace('refreshed'); done(); }, 600);
  setTimeout(() => refreshed.refresh(), 400);
  setTimeout(trace, 800, 'before');
  let count = 0;
  const interval = setInterval((word) => { trace(word, ++count); if (count === 3) clearInterval(interval); }, 20, 'tick');
};
if (cluster.isPrimary) run(() => { watch('exit'); cluster.fork(); });
else run(() => cluster.worker.disconnect());
