/**
 * The files that a module sees. A path below a mount ("mount:1/pith.json") is served by that mount: files held in memory or in Blobs, or
 * fetched. Every other path belongs to the system's files, where there are any.
 */
import { ArgumentError, ExistsError, FormatError, IoError, NotFoundError } from './errors.js';

/** @typedef {import('./engine.js').Files} Files */

/**
 * One open file of a mount. `read` as in Files.
 * @typedef {{size: number, read: (offset: number, target: Uint8Array) => number | undefined, close?: () => void}} MountedFile
 */
/** @typedef {{open: (name: string) => MountedFile | undefined, has: (name: string) => boolean, names: () => Iterable<string>, close?: () => void}} Mount */

/** @implements {Files} */
export class MountedFiles {
  /** @type {Map<string, Mount>} */ #mounts = new Map();
  /** @type {Map<number, {mounted?: MountedFile, system?: number, path: string, chunks?: Uint8Array[]}>} */ #handles = new Map();
  /** Folders written into memory. @type {Map<string, Map<string, Uint8Array>>} */ #outputs = new Map();
  #next = 3;
  #count = 0;
  #system;
  /** @type {(() => void)[]} */ #waiting = [];

  /** @param {Files | null} system */
  constructor(system) { this.#system = system; }

  /** @param {(wake: () => void) => Mount | Promise<Mount>} make */
  async mount(make) {
    const mount = await make(() => {
      for (const resolve of this.#waiting.splice(0)) resolve();
    });
    const prefix = `mount:${++this.#count}`;
    this.#mounts.set(prefix, mount);
    return prefix;
  }

  /** @param {string} prefix */
  unmount(prefix) {
    this.#mounts.get(prefix)?.close?.();
    this.#mounts.delete(prefix);
  }

  /** A folder in memory for what is written; `output` of compress. */
  outputPath() { return `memory:${++this.#count}`; }
  /** @param {string} path of outputPath, whose files are handed over @returns {Map<string, Blob>} */
  takeOutput(path) {
    const folder = this.#outputs.get(path) ?? new Map();
    this.#outputs.delete(path);
    return new Map([...folder].map(([name, bytes]) => [name, new Blob([bytes])]));
  }

  /** @param {string} path */
  #mounted(path) {
    const cut = path.indexOf('/');
    const mount = this.#mounts.get(cut < 0 ? path : path.slice(0, cut));
    return mount && { mount, name: cut < 0 ? '' : path.slice(cut + 1) };
  }

  /** @param {string} path */
  #memory(path) {
    if (!path.startsWith('memory:')) return undefined;
    const cut = path.indexOf('/');
    return { folder: cut < 0 ? path : path.slice(0, cut), name: cut < 0 ? '' : path.slice(cut + 1) };
  }

  #needSystem() {
    if (!this.#system) throw new NotFoundError('there are no local files here: give a URL, File objects or a directory handle');
    return this.#system;
  }

  /** @param {{mounted?: MountedFile, system?: number, path: string, chunks?: Uint8Array[]}} entry */
  #keep(entry) {
    const handle = this.#next++;
    this.#handles.set(handle, entry);
    return handle;
  }

  /** @param {number} handle */
  #entry(handle) {
    const entry = this.#handles.get(handle);
    if (!entry) throw new IoError(`there is no open file ${handle}`);
    return entry;
  }

  /** @param {string} path */
  open(path) {
    const at = this.#mounted(path);
    if (at) {
      const mounted = at.mount.open(at.name);
      if (!mounted) throw new NotFoundError('there is no such file');
      return { handle: this.#keep({ mounted, path }), size: mounted.size };
    }
    const memory = this.#memory(path);
    if (memory) {
      const bytes = this.#outputs.get(memory.folder)?.get(memory.name);
      if (!bytes) throw new NotFoundError('there is no such file');
      return { handle: this.#keep({ mounted: bytesFile(bytes), path }), size: bytes.length };
    }
    const { handle, size } = this.#needSystem().open(path);
    return { handle: this.#keep({ system: handle, path }), size };
  }

  /** @param {number} handle @param {number} offset @param {Uint8Array} target */
  read(handle, offset, target) {
    if (handle < 3) return this.#needSystem().read(handle, offset, target);
    const { mounted, system } = this.#entry(handle);
    return mounted ? mounted.read(offset, target) : this.#needSystem().read(/** @type {number} */ (system), offset, target);
  }

  /** @param {string} path */
  create(path) {
    if (this.#memory(path)) return this.#keep({ path, chunks: [] });
    return this.#keep({ path, system: this.#needSystem().create(path) });
  }

  /** @param {number} handle @param {Uint8Array} bytes */
  write(handle, bytes) {
    if (handle < 3) return this.#needSystem().write(handle, bytes);
    const entry = this.#entry(handle);
    if (entry.chunks) entry.chunks.push(bytes.slice());
    else this.#needSystem().write(/** @type {number} */ (entry.system), bytes);
  }

  /** @param {number} handle */
  close(handle) {
    const entry = this.#entry(handle);
    this.#handles.delete(handle);
    entry.mounted?.close?.();
    const at = this.#memory(entry.path);
    if (at && entry.chunks) this.#outputs.get(at.folder)?.set(at.name, joined(entry.chunks));
    if (entry.system !== undefined) this.#needSystem().close(entry.system);
  }

  /** @param {string} path */
  makeDirectory(path) {
    const at = this.#memory(path);
    if (!at) return this.#needSystem().makeDirectory(path);
    if (this.#outputs.has(at.folder)) throw new ExistsError('the folder is there already');
    this.#outputs.set(at.folder, new Map());
  }

  /** @param {string} from @param {string} to */
  rename(from, to) {
    const folder = this.#memory(from) && this.#outputs.get(from);
    if (!folder) return this.#needSystem().rename(from, to);
    this.#outputs.delete(from);
    this.#outputs.set(to, folder);
  }

  /** @param {string} path */
  remove(path) {
    const at = this.#memory(path);
    if (!at) return this.#needSystem().remove(path);
    const folder = this.#outputs.get(at.folder);
    if (at.name !== '') folder?.delete(at.name);
    else if (folder && folder.size > 0) throw new IoError('the folder is not empty');
    else this.#outputs.delete(at.folder);
  }

  /** @param {string} path @returns {0 | 1 | 2} */
  exists(path) {
    const at = this.#mounted(path);
    if (at) return at.name === '' ? 2 : at.mount.has(at.name) ? 1 : 0;
    const memory = this.#memory(path);
    if (memory) return memory.name === '' ? (this.#outputs.has(path) ? 2 : 0) : this.#outputs.get(memory.folder)?.has(memory.name) ? 1 : 0;
    return this.#system ? this.#system.exists(path) : 0;
  }

  /** @param {string} path */
  resolve(path) {
    if (this.#mounted(path) || this.#memory(path)) return path;
    return this.#needSystem().resolve(path);
  }

  /** @param {string} folder @param {boolean} [all] @returns {Iterable<string>} */
  list(folder, all) {
    const at = this.#mounted(folder);
    if (at) return at.name === '' ? at.mount.names() : [];
    const memory = this.#memory(folder);
    if (memory) return memory.name === '' ? (this.#outputs.get(folder)?.keys() ?? []) : [];
    return this.#needSystem().list(folder, all);
  }

  arrival() {
    const mounts = /** @type {Promise<void>} */ (new Promise((resolve) => this.#waiting.push(resolve)));
    return this.#system ? Promise.race([mounts, this.#system.arrival()]) : mounts;
  }
}

/** @param {Uint8Array[]} chunks */
function joined(chunks) {
  const all = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let n = 0;
  for (const chunk of chunks) {
    all.set(chunk, n);
    n += chunk.length;
  }
  return all;
}

/** @param {Uint8Array} bytes @returns {MountedFile} */
export function bytesFile(bytes) {
  return {
    size: bytes.length,
    read(offset, target) {
      const part = bytes.subarray(offset, offset + target.length);
      target.set(part);
      return part.length;
    },
  };
}

/**
 * Files given one by one. In a worker of a browser a Blob is read in place; elsewhere its bytes are read first.
 * @param {Map<string, Blob | Uint8Array>} files by path below the folder
 * @param {((blob: Blob) => ArrayBuffer) | null} readNow reads a Blob at once, where that can be done
 * @returns {Promise<Mount>}
 */
export async function filesMount(files, readNow) {
  /** @type {Map<string, () => MountedFile>} */
  const opened = new Map();
  for (const [name, file] of files) {
    if (file instanceof Uint8Array) {
      opened.set(name, () => bytesFile(file));
    } else if (readNow) {
      opened.set(name, () => ({
        size: file.size,
        read(offset, target) {
          const part = new Uint8Array(readNow(file.slice(offset, offset + target.length)));
          target.set(part);
          return part.length;
        },
      }));
    } else {
      const bytes = new Uint8Array(await file.arrayBuffer());
      opened.set(name, () => bytesFile(bytes));
    }
  }
  return { open: (name) => opened.get(name)?.(), has: (name) => opened.has(name), names: () => opened.keys() };
}

/**
 * A folder's files by their path below the folder that holds config.json or pith.json, so that any depth may be dropped; or a GGUF file.
 * @param {Iterable<[string, Blob | Uint8Array]>} files
 */
export function rootedFiles(files) {
  const list = [...files].map(([path, file]) => /** @type {[string, Blob | Uint8Array]} */ ([path.replace(/^\/+/, ''), file]));
  const below = (/** @type {RegExp} */ what) => list.map(([path]) => path).filter((path) => what.test(path));
  let heads = below(/(^|\/)(pith|config)\.json$/);
  if (heads.length === 0) {
    heads = below(/\.gguf$/i);
    if (heads.length > 1) throw new ArgumentError(`the files hold ${heads.length} GGUF files: give one of them`);
    if (heads.length === 1) { // by a name that is plain, whatever it was called
      const [, file] = list.find(([path]) => path === heads[0]) ?? list[0];
      return new Map([[heads[0].slice(heads[0].lastIndexOf('/') + 1).replace(/gguf$/i, 'gguf'), file]]);
    }
    throw new NotFoundError('the files hold neither a package (pith.json) nor a checkpoint (config.json, or one .gguf file)');
  }
  const shortest = heads.reduce((a, b) => (b.split('/').length < a.split('/').length ? b : a));
  const root = shortest.slice(0, shortest.lastIndexOf('/') + 1);
  const found = new Map(list.filter(([path]) => path.startsWith(root)).map(([path, file]) => [path.slice(root.length), file]));
  if (found.size === 0) throw new FormatError('the folder is empty');
  return found;
}
