// What nobody catches in a timer: listeners of process hear of it first; then it ends with 1, 7, or goes on.
if (cluster.isPrimary) {
  watch('disconnect', 'exit');
  for (const HOW of ['nobody', 'taken', 'raises', 'exits', 'top']) cluster.fork({ HOW });
} else {
  const how = process.env.HOW;
  const accident = () => { throw new Error('accident'); };
  process.on('exit', (code) => trace('exit', code));
  process.on('uncaughtExceptionMonitor', (error, origin) => trace('monitor', error.message, origin));
  if (how !== 'nobody') {
    process.on('uncaughtException', (error, origin) => {
      trace('uncaught', error.message, origin);
      if (how === 'raises') throw new Error('another accident');
      if (how === 'exits') process.exit(9);
      cluster.worker.disconnect();
    });
  }
  if (how === 'top') accident();
  else setTimeout(accident, 10);
}
