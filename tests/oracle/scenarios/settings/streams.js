// silent and stdio: what a worker writes is read in the primary, what the primary writes is read there (spec 5.2).
if (cluster.isPrimary) {
  trace(cluster.fork({ QUIET: 1 }).process.stdout);
  cluster.setupPrimary({ silent: true });
  const w = cluster.fork(); let out = '', err = '';
  w.process.stdout.on('data', (d) => (out += d)); w.process.stderr.on('data', (d) => (err += d));
  w.process.stdin.write('hello\n'); w.process.stdin.end();
  w.on('exit', (code) => setTimeout(() => trace(code, out.trim(), err.trim()), 50));
} else if (process.env.QUIET) process.exit(0);
else process.stdin.once('data', (d) => { process.stdout.write(`out ${d}`); process.stderr.write('err\n'); process.exit(0); });
