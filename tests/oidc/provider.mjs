// A certified OpenID Connect provider with accounts of the tests: node provider.mjs PORT REDIRECT_URI [SECRET]

import Provider from "oidc-provider";

const [port, redirectUri, secret] = process.argv.slice(2);
const accounts = {
  ada: { email: "ada@example.com", groups: ["staff", "monitor-operators"] },
  vic: { email: "vic@example.com", groups: ["monitor-viewers"] },
  ann: { email: "ann@example.com", groups: ["monitor-annotators"] },
  eve: { email: "eve@example.com", groups: ["staff"] },
};
const client = {
  client_id: "rlhf-monitor",
  redirect_uris: [redirectUri],
  post_logout_redirect_uris: [new URL("/", redirectUri).href],
  token_endpoint_auth_method: secret ? "client_secret_basic" : "none",
  application_type: "native", // http on loopback
};
if (secret) client.client_secret = secret;
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [client],
  claims: { openid: ["sub"], email: ["email"], profile: ["groups"] },
  features: { devInteractions: { enabled: true } },
  pkce: { required: () => true },
  cookies: { keys: ["tests"] },
  findAccount: (_, id) => (id in accounts ? { accountId: id, claims: () => ({ sub: id, ...accounts[id] }) } : undefined),
});
provider.listen(Number(port), "127.0.0.1", () => console.log("listening"));
