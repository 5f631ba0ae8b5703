// exec, args, cwd and env reach the worker; marker variables do not (spec 1.6, 5.2).
if (cluster.isPrimary) {
  cluster.setupPrimary({ args: ['one', '2'], cwd: '/' });
  trace(cluster.fork({ OWN: 'mine', N: 5 }).send('x')); watch('exit');
} else {
  trace(process.argv.slice(2).join(), process.cwd(), process.env.OWN, process.env.N, 'NODE_UNIQUE_ID' in process.env, 'NODE_CHANNEL_FD' in process.env);
  process.disconnect();
}
