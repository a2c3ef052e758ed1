// Unpacks the browser into the folder TMPDIR, with the libraries that a bare system lacks, and
// writes both paths.
process.env.AWS_EXECUTION_ENV = "AWS_Lambda_nodejs24.x"; // the package brings its libraries only there
const { default: chromium } = await import("@sparticuz/chromium");
const program = await chromium.executablePath();
console.log(JSON.stringify({ program, libraries: process.env.LD_LIBRARY_PATH ?? "" }));
