// Gradio ends its stream of events when it knows of none under way, and the page opens another with its next event. An
// event that was sent while the word of the end was on its way belongs to neither, and would wait for one after it. So
// while an event is under way that word is kept from Gradio, and the same stream goes on with what a new one brings.
(() => {
  "use strict";
  const plain = window.fetch;
  const under = new Set(), over = new Set(); // events by id; `over` are those that ended before their id was known
  let sending = 0;

  const join = async (given) => {
    sending += 1;
    try {
      const response = await plain(...given);
      const { event_id: id } = await response.clone().json().catch(() => ({}));
      if (id && !over.delete(id)) under.add(id);
      return response;
    } finally {
      sending -= 1;
    }
  };

  const messages = async function* (response) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    try {
      for (let { value, done } = await reader.read(); !done; { value, done } = await reader.read()) {
        const whole = (text + value).split("\n\n");
        text = whole.pop();
        yield* whole;
      }
    } finally {
      reader.cancel().catch(() => {});
    }
  };

  const goingOn = async function* (request, response) {
    const encoder = new TextEncoder(), written = (message) => encoder.encode(`${message}\n\n`);
    try {
      for (;;) {
        let end = "";
        if (!response.ok) throw new Error(`the stream of events: ${response.status}`);
        for await (const message of messages(response)) {
          const { msg, event_id: id } = JSON.parse(message.replace(/^data: /, ""));
          if (msg === "process_completed" && !under.delete(id)) over.add(id);
          if (msg === "close_stream") end = message; else yield written(message);
        }
        // The server is through with it by now. Told earlier, Gradio breaks the connection off, and a server that is
        // not through takes that for a page that was closed, and drops what was sent meanwhile.
        if (!end) return;
        if (under.size + sending === 0) return yield written(end);
        response = await plain(request.clone());
      }
    } catch (error) {
      under.clear(); // Gradio gives them up, too
      throw error;
    }
  };

  const stream = async (request) => {
    const response = await plain(request.clone());
    if (!response.ok) return response;
    const pieces = goingOn(request, response);
    const pull = async (out) => {
      const { value, done } = await pieces.next();
      if (done) out.close(); else out.enqueue(value);
    };
    const body = new ReadableStream({ pull, cancel: () => pieces.return() }, { highWaterMark: 0 });
    return new Response(body, { status: response.status, headers: response.headers });
  };

  window.fetch = (...given) => {
    const { pathname: path, searchParams } = new URL(given[0]?.url ?? given[0], location.href);
    // The camera asks how far an upload without a name is, which the server can't know: it waits, and answers 404.
    if (path.endsWith("/upload_progress") && !searchParams.get("upload_id")) {
      const done = new Response('data: {"msg": "done"}\n\n', { headers: { "Content-Type": "text/event-stream" } });
      return Promise.resolve(done);
    }
    if (path.endsWith("/queue/join")) return join(given);
    return path.endsWith("/queue/data") ? stream(new Request(...given)) : plain(...given);
  };
})();
