// What another reader finds in Outlook messages, one JSON object a line: msg_reader.js FILE...
const fs = require('fs')
const MsgReader = require('@kenjiuno/msgreader').default

for (const file of process.argv.slice(2)) {
  const reader = new MsgReader(fs.readFileSync(file))
  const m = reader.getFileData()
  const named = (r) => (r.smtpAddress || r.email || r.name || '')
  const list = (kind) => (m.recipients || []).filter((r) => r.recipType === kind).map(named)
  console.log(JSON.stringify({
    file,
    error: m.error || null,
    subject: m.subject || '',
    sender: m.sentRepresentingSmtpAddress || m.senderSmtpAddress || m.senderEmail || '',
    to: list('to'),
    cc: list('cc'),
    date: m.clientSubmitTime || m.messageDeliveryTime || '',
    body: m.body || '',
    attachments: (m.attachments || []).map((a) => a.innerMsgContent
      ? { message: true, name: a.name || '' }
      : { message: false, name: a.fileName || a.name || '',
          bytes: Buffer.from(reader.getAttachment(a).content).toString('base64') })
  }))
}
