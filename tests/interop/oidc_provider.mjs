// A certified OpenID provider on loopback, over TLS. Called with a file of JSON: key and certificate (PEM), the
// clients. Prints its issuer as one line, and serves until its standard input ends. Where it is given `resource`, a
// table of what each client's access tokens are like, they are for a mail service, and can be asked about; it then
// also prints a refresh token for each client that may have one.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';

import Provider from '../node/node_modules/oidc-provider/lib/index.js';

const given = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const host = given.host ?? 'localhost';

const forMailService = given.resource && {
  introspection: { enabled: true, allowedPolicy: () => true },
  resourceIndicators: {
    enabled: true,
    defaultResource: (ctx, client) => given.resource[client.clientId].audience,
    useGrantedResource: () => true,
    getResourceServerInfo: (ctx, audience, client) => {
      const { scope, format, life_s: accessTokenTTL } = given.resource[client.clientId];
      return { audience, scope, accessTokenFormat: format, accessTokenTTL, jwt: { sign: { alg: 'RS256' } } };
    },
  },
};

async function refreshToken(provider, client) {
  const of = { accountId: given.mailbox, clientId: client.clientId };
  const { audience, scope } = given.resource[client.clientId];
  const grant = new provider.Grant(of);
  grant.addOIDCScope('openid offline_access');
  grant.addResourceScope(audience, scope);
  const grantId = await grant.save();
  return new provider.RefreshToken({
    ...of, client, grantId, gty: 'authorization_code', resource: audience, scope: `openid offline_access ${scope}`,
  }).save();
}

const server = createServer({ key: given.key, cert: given.certificate });

server.listen(given.port ?? 0, '127.0.0.1', async () => {
  const issuer = `https://${host}:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: given.clients,
    claims: { openid: ['sub'], email: ['email'] },
    scopes: ['openid', 'offline_access', 'smtp'],
    clientAuthMethods: ['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt'],
    features: {
      clientCredentials: { enabled: true },
      deviceFlow: { enabled: true },
      devInteractions: { enabled: true },
      ...forMailService,
    },
    ...(given.jwks && { jwks: given.jwks }),
    formats: {
      customizers: {
        jwt(ctx, token, parts) {  // RFC 9068 says at+jwt, which not every server takes
          parts.header = { ...parts.header, typ: given.resource[token.clientId].typ };
        },
      },
    },
    extraTokenClaims: (ctx, token) => given.resource?.[token.clientId].claims,
    rotateRefreshToken: true,
    findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id, email: id }) }),
    conformIdTokenClaims: false,
    cookies: { keys: [given.cookie_key] },
  });
  provider.on('server_error', (ctx, error) => console.error(error));
  server.on('request', provider.callback());
  process.stdout.write(`${issuer}\n`);
  for (const { client_id: id, grant_types: types } of given.resource ? given.clients : []) {
    if (types.includes('refresh_token')) {
      const token = await refreshToken(provider, await provider.Client.find(id));
      process.stdout.write(`${id} ${token}\n`);
    }
  }
});

process.stdin.on('end', () => process.exit(0)).resume();
