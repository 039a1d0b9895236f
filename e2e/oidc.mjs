// An OAuth2 server for oauth_test.go, on a free port of loopback: oidc-provider, whose
// user is always the person that the login hint names, and always consents. It prints its
// address, and ends with its standard input.
import { createServer } from 'node:http'
import { Provider } from 'oidc-provider'

const server = createServer()
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: 'person', token_endpoint_auth_method: 'none', application_type: 'native',
        grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
        response_types: ['code'], redirect_uris: ['http://localhost'],
      },
      {
        client_id: 'app', client_secret: 'app-secret', token_endpoint_auth_method: 'client_secret_post',
        grant_types: ['client_credentials'], response_types: [], redirect_uris: [], scope: 'mail',
      },
    ],
    scopes: ['openid', 'offline_access', 'mail'],
    cookies: { keys: ['of the tests'] },
    features: {
      devInteractions: { enabled: false }, clientCredentials: { enabled: true }, deviceFlow: { enabled: true },
    },
    findAccount: (ctx, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
    interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
    issueRefreshToken: () => true,
    rotateRefreshToken: () => true,
    pkce: { required: () => true },
    ttl: { AccessToken: 3600, Grant: 3600, Interaction: 600, Session: 600, RefreshToken: 3600, DeviceCode: 600, ClientCredentials: 3600 },
  })

  // agree answers the question that the server has: who it is, or whether the
  // client may.
  async function agree(req, res) {
    const { prompt, params, session, grantId } = await provider.interactionDetails(req, res)
    if (prompt.name === 'login') {
      const login = { accountId: params.login_hint ?? 'someone' }
      return provider.interactionFinished(req, res, { login }, { mergeWithLastSubmission: false })
    }
    const grant = grantId ? await provider.Grant.find(grantId) : new provider.Grant({ accountId: session.accountId, clientId: params.client_id })
    grant.addOIDCScope((prompt.details.missingOIDCScope ?? []).join(' '))
    return provider.interactionFinished(req, res, { consent: { grantId: await grant.save() } }, { mergeWithLastSubmission: true })
  }

  const answer = provider.callback()
  server.on('request', (req, res) => {
    if (!req.url.startsWith('/interaction/')) return answer(req, res)
    agree(req, res).catch((err) => res.writeHead(500).end(String(err)))
  })
  console.log(issuer)
})
process.stdin.resume().on('end', () => process.exit())
