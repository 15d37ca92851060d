// Search for a site that is opened from a disk, where browsers start no workers: the worker's script runs in a frame.
// Its name tells Zensical that there is such a file, or else it would load one from another host.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.onmessage = null;
      this.waiting = [];
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.append(this.frame);
      this.inside = this.frame.contentWindow;
      // what the worker says: inside a frame, postMessage would reach the frame itself
      this.inside.postMessage = (data) => this.hear(new MessageEvent("message", { data }));
      const script = this.inside.document.createElement("script");
      script.src = new URL(url, location.href);
      script.onload = () => {
        for (const data of this.waiting.splice(0)) this.tell(data);
        this.waiting = null;
      };
      this.inside.document.body.append(script);
    }
    hear(event) {
      setTimeout(() => {
        this.onmessage?.(event);
        this.dispatchEvent(event);
      });
    }
    tell(data) {
      setTimeout(() => this.inside.onmessage?.(new MessageEvent("message", { data })));
    }
    postMessage(data) {
      this.waiting ? this.waiting.push(data) : this.tell(data);
    }
    terminate() {
      this.frame.remove();
    }
  };
}
