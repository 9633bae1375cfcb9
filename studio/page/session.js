// Signs in with Cognito (authorisation code with PKCE), and asks the function questions.

const KEPT = "reeldrop";
export const HERE = new URL(".", location.href.split(/[?#]/)[0]).href;

export const config = await (await fetch("config.json")).json();
const SIGN_IN = config.signIn || location.origin;

function kept() {
  return JSON.parse(sessionStorage.getItem(KEPT) || "{}");
}

function keep(values) {
  sessionStorage.setItem(KEPT, JSON.stringify(values));
}

function base64url(bytes) {
  const text = btoa(String.fromCharCode(...new Uint8Array(bytes)));
  return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function randomText() {
  return base64url(crypto.getRandomValues(new Uint8Array(32)));
}

export function isSignedIn() {
  return Boolean(kept().access);
}

export async function signIn() {
  const [verifier, state] = [randomText(), randomText()];
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  keep({ verifier, state, hash: location.hash });
  location.href = `${SIGN_IN}/oauth2/authorize?${new URLSearchParams({
    response_type: "code",
    client_id: config.clientId,
    redirect_uri: HERE,
    scope: "openid",
    state,
    code_challenge: base64url(digest),
    code_challenge_method: "S256",
  })}`;
}

export function signOut() {
  keep({});
  location.href = `${SIGN_IN}/logout?${new URLSearchParams({
    client_id: config.clientId,
    logout_uri: HERE,
  })}`;
}

async function fetchTokens(values) {
  const answer = await fetch(`${SIGN_IN}/oauth2/token`, {
    method: "POST",
    body: new URLSearchParams({ client_id: config.clientId, ...values }),
  });
  if (!answer.ok) return false;
  const tokens = await answer.json();
  keep({ access: tokens.access_token, refresh: tokens.refresh_token ?? kept().refresh });
  return true;
}

// Ends a sign-in that has just come back from Cognito.
export async function comeBack() {
  const back = new URLSearchParams(location.search);
  if (!back.has("code")) return;
  const { verifier, state, hash } = kept();
  history.replaceState(null, "", HERE + (hash || ""));
  if (!state || back.get("state") !== state) return;
  await fetchTokens({
    grant_type: "authorization_code",
    code: back.get("code"),
    redirect_uri: HERE,
    code_verifier: verifier,
  });
}

function post(question, asked) {
  return fetch(`api/${question}`, {
    method: "POST",
    headers: { authorization: `Bearer ${kept().access}`, "content-type": "application/json" },
    body: JSON.stringify(asked),
  });
}

// A token that works for an hour from now.
export async function freshToken() {
  const { refresh } = kept();
  if (!(await fetchTokens({ grant_type: "refresh_token", refresh_token: refresh }))) {
    throw new Error("Sign out and sign in again to get a token.");
  }
  return kept().access;
}

// Asks the function a question. An access token lasts for an hour and is then fetched again.
export async function ask(question, asked = {}) {
  let answer = await post(question, asked);
  if (answer.status === 401) {
    const { refresh } = kept();
    const renewed =
      refresh && (await fetchTokens({ grant_type: "refresh_token", refresh_token: refresh }));
    if (renewed) answer = await post(question, asked);
    if (!renewed || answer.status === 401) {
      keep({});
      dispatchEvent(new Event("signedout"));
      throw new Error("You are signed out.");
    }
  }
  const isJson = answer.headers.get("content-type")?.includes("json");
  const body = isJson ? await answer.json() : await answer.text();
  if (!answer.ok) throw new Error(body.message ?? "The studio does not answer.");
  return body;
}

// Uploads a file into the drop folder.
export async function upload(name, file) {
  const form = await ask("upload", { name });
  const data = new FormData();
  for (const [key, value] of Object.entries(form.fields)) data.append(key, value);
  data.append("file", file);
  const answer = await fetch(form.url, { method: "POST", body: data });
  if (!answer.ok) throw new Error(`${name} could not be uploaded. It may be empty or too large.`);
}
