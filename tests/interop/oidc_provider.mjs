// A certified OpenID provider on loopback, over TLS. Called with a file of JSON: key and certificate (PEM), the
// clients. Prints its issuer as one line, and serves until its standard input ends.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';

import Provider from '../node/node_modules/oidc-provider/lib/index.js';

const given = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const server = createServer({ key: given.key, cert: given.certificate });

server.listen(0, '127.0.0.1', () => {
  const issuer = `https://localhost:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: given.clients,
    claims: { openid: ['sub'], email: ['email'] },
    scopes: ['openid', 'offline_access', 'smtp'],
    clientAuthMethods: ['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt'],
    features: {
      clientCredentials: { enabled: true },
      deviceFlow: { enabled: true },
      devInteractions: { enabled: true },
    },
    rotateRefreshToken: true,
    findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id, email: id }) }),
    conformIdTokenClaims: false,
    cookies: { keys: [given.cookie_key] },
  });
  server.on('request', provider.callback());
  process.stdout.write(`${issuer}\n`);
});

process.stdin.on('end', () => process.exit(0)).resume();
