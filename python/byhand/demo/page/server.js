// Requests to the server.

// Sends a body to an address of the server, and returns the JSON of the response. If the server
// refuses the request or does not answer, the error has a message for the reader of the page.
export async function post(address, body) {
  return json(await reached(fetch(address, { method: "POST", body })));
}

export async function get(address) {
  return json(await reached(fetch(address)));
}

async function reached(response) {
  try {
    return await response;
  } catch {
    throw new Error("The server does not answer. Is the command byhand demo still running?");
  }
}

async function json(response) {
  const content = await response.json().catch(() => ({ error: `status ${response.status}` }));
  if (!response.ok) throw new Error(content.error);
  return content;
}

// Returns a function that runs an asynchronous task. While the task runs, further calls only note
// that it must run once more. So a fast pen never waits for a queue of old requests.
export function latestOnly(task) {
  let running = false;
  let again = false;
  return async function run() {
    again = true;
    if (running) return;
    running = true;
    try {
      while (again) {
        again = false;
        await task();
      }
    } finally {
      running = false;
    }
  };
}
