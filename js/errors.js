/**
 * Errors: one class a status of the C library, each with its stable code. The message says what, where and what to do.
 */

export class PithError extends Error {
  /**
   * @param {string} message
   * @param {{cause?: unknown}} [options]
   */
  constructor(message, options) {
    super(message, options);
    this.name = new.target.name;
    /** Stable: 'PITH_E_FORMAT' and so on. @type {string} */
    this.code = /** @type {{code: string}} */ (/** @type {unknown} */ (new.target)).code;
  }
}
PithError.code = 'PITH_E_INTERNAL';

/** An option or a value that the caller gave is wrong. */
export class ArgumentError extends PithError { static code = 'PITH_E_ARGUMENT'; }
/** A file, a tensor or a token that must exist does not. */
export class NotFoundError extends PithError { static code = 'PITH_E_NOT_FOUND'; }
/** Reading or writing failed. */
export class IoError extends PithError { static code = 'PITH_E_IO'; }
/** The disk or the quota is full. */
export class NoSpaceError extends PithError { static code = 'PITH_E_NO_SPACE'; }
/** A file is truncated, malformed or contradicts itself. */
export class FormatError extends PithError { static code = 'PITH_E_FORMAT'; }
/** Bytes differ from their recorded size or SHA-256. */
export class IntegrityError extends PithError { static code = 'PITH_E_INTEGRITY'; }
/** Well-formed, but it asks for what Pith does not have. */
export class UnsupportedError extends PithError { static code = 'PITH_E_UNSUPPORTED'; }
/** Memory ran out. */
export class MemoryError extends PithError { static code = 'PITH_E_MEMORY'; }
/** Past the model's context or a stated cap. */
export class LimitError extends PithError { static code = 'PITH_E_LIMIT'; }
/** The output is there already. */
export class ExistsError extends PithError { static code = 'PITH_E_EXISTS'; }
/** The network or a server failed. */
export class NetworkError extends PithError { static code = 'PITH_E_NETWORK'; }
/** A bug of Pith's. */
export class InternalError extends PithError { static code = 'PITH_E_INTERNAL'; }
/** The caller asked to stop. Its name is the platform's, so that the usual check for an abort finds it. */
export class CancelledError extends PithError {
  static code = 'PITH_E_CANCELLED';
  /**
   * @param {string} [message]
   * @param {{cause?: unknown}} [options]
   */
  constructor(message = 'cancelled', options) {
    super(message, options);
    this.name = 'AbortError';
  }
}

/** pith_status of base.h → class. @type {Record<number, new (message: string, options?: {cause?: unknown}) => PithError>} */
const byStatus = {
  2: ArgumentError, 3: NotFoundError, 4: IoError, 5: NoSpaceError, 6: FormatError, 7: IntegrityError, 8: UnsupportedError, 9: MemoryError,
  10: LimitError, 11: ExistsError, 12: NetworkError, 13: InternalError, 130: CancelledError,
};

/**
 * @param {number} status of the C library
 * @param {string} message
 */
export function errorFromStatus(status, message) {
  return new (byStatus[status] ?? InternalError)(message);
}

/**
 * The status that a host callback answers for an error.
 * @param {unknown} error
 */
export function statusOf(error) {
  const code = error instanceof PithError ? error.code : '';
  for (const [status, type] of Object.entries(byStatus)) if (/** @type {{code?: string}} */ (/** @type {unknown} */ (type)).code === code) return Number(status);
  return 4;
}

/**
 * An error on its way between threads.
 * @param {unknown} error
 */
export function packError(error) {
  if (error instanceof PithError) return { code: error.code, message: error.message };
  return { code: 'PITH_E_INTERNAL', message: String(error instanceof Error ? error.stack ?? error.message : error) };
}

/** @param {{code: string, message: string}} packed */
export function unpackError(packed) {
  for (const type of Object.values(byStatus)) {
    if (/** @type {{code?: string}} */ (/** @type {unknown} */ (type)).code === packed.code) return new type(packed.message);
  }
  return new InternalError(packed.message);
}
