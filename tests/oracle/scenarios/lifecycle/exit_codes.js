// What a worker passes to process.exit arrives, modulo 256 (spec 2.3).
if (cluster.isPrimary) {
  watch('exit');
  for (const code of [0, 7, 255, 256]) cluster.fork({ CODE: code });
} else process.exit(Number(process.env.CODE));
