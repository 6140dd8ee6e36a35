/** A Java host. Usage: java JavaHost SHIM DUMP_DIR KIND, in the directory that the error report goes to. */
public class JavaHost {
    /** Where these are null or nest too deep, the compiled code faults, and the virtual machine throws. */
    static int length(String text) {
        return text.length();
    }

    static int nest(int depth) {
        return nest(depth + 1) + 1;
    }

    static void storm() {
        int nulls = 0;
        int overflows = 0;
        for (int i = 0; i < 20000; i++) {
            length("compiled by now");
            try {
                length(null);
            } catch (NullPointerException e) {
                nulls++;
            }
        }
        for (int i = 0; i < 10; i++) {
            try {
                nest(0);
            } catch (StackOverflowError e) {
                overflows++;
            }
        }
        System.out.println("caught " + nulls + " " + overflows);
    }

    static native void install(String dumpDir);

    static native void attach(String file);

    static native void report();

    static native void crash();

    public static void main(String[] arguments) throws InterruptedException {
        String kind = arguments[2];
        System.load(arguments[0]);
        if (!kind.equals("crash-without-us")) {
            install(arguments[1]);
            attach("hs_err.log");
        }
        switch (kind) {
            case "storm" -> {
                storm();
                Thread second = new Thread(JavaHost::storm);
                second.start();
                second.join();
                report();
            }
            case "throw" -> throw new IllegalStateException("nobody catches this");
            default -> {
                storm();
                Thread second = new Thread(JavaHost::crash, "crasher");
                second.start();
                second.join();
            }
        }
    }
}
