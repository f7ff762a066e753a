// Shows on a page that its session has ended, without a reload.
let events;

function listen() {
  events = new EventSource("/ended");
  events.addEventListener("ended", () => {
    events.close();
    document.getElementById("ended").hidden = false;
  });
}

// A hidden page holds no connection: over HTTP/1.1 a browser has six for all tabs of a site.
function change() {
  events?.close();
  if (!document.hidden) listen();
}

document.addEventListener("visibilitychange", change);
change();
