import { type RunningProgram, startProgram } from './processes.ts'

/**
 * GStreamer's rtmp2sink as encoder, the strictest of all about replies: sends an FLV file (H.264 and AAC) at real time.
 * Needs `needs('gstreamer')`.
 * @param url server and key in one: `rtmp://host:port/app/key`
 */
export async function publishWithGstreamer(file: string, url: string): Promise<RunningProgram> {
  const pipeline = [
    ...['filesrc', `location=${file}`, '!', 'flvdemux', 'name=in'],
    ...['in.video', '!', 'queue', '!', 'h264parse', '!', 'mux.video'],
    ...['in.audio', '!', 'queue', '!', 'aacparse', '!', 'mux.audio'],
    ...['flvmux', 'name=mux', 'streamable=true', '!', 'rtmp2sink', 'sync=true', `location=${url}`],
  ]
  // -e: SIGINT ends the stream properly.
  return startProgram('gst-launch-1.0', ['-e', ...pipeline])
}
